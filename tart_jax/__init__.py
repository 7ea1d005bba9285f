"""tart_jax: retrievers that follow instructions, in JAX and Flax."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Retriever", "__version__"]

if TYPE_CHECKING:
    from tart_jax.api import Retriever


def __getattr__(name: str) -> Any:
    # Lazy, so that `import tart_jax` and `tart-jax --help` need no JAX.
    if name == "Retriever":
        from tart_jax.api import Retriever

        return Retriever
    raise AttributeError(f"module 'tart_jax' has no attribute {name!r}")
