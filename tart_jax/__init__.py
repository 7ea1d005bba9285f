"""tart_jax: retrievers that follow instructions, in JAX and Flax."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Reranker", "Retriever", "TwoStage", "__version__"]

if TYPE_CHECKING:
    from tart_jax.api import Reranker, Retriever, TwoStage


def __getattr__(name: str) -> Any:
    # Lazy, so that `import tart_jax` and `tart-jax --help` need no JAX.
    if name in ("Reranker", "Retriever", "TwoStage"):
        from tart_jax import api

        return getattr(api, name)
    raise AttributeError(f"module 'tart_jax' has no attribute {name!r}")
