"""What a BART is, read from and written as Hugging Face's config.json."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tart_jax.models.bert import ACTIVATIONS
from tart_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class BartConfig:
    """A BART as its config.json has it. forced_*: the token at the first and at the last place."""

    vocab_size: int
    d_model: int
    encoder_layers: int
    decoder_layers: int
    encoder_attention_heads: int
    decoder_attention_heads: int
    encoder_ffn_dim: int
    decoder_ffn_dim: int
    max_position_embeddings: int = 1024
    activation_function: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    scale_embedding: bool = False
    init_std: float = 0.02
    pad_token_id: int = 1
    eos_token_id: int = 2
    decoder_start_token_id: int = 2
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None

    def __post_init__(self) -> None:
        if self.activation_function not in ACTIVATIONS:
            raise InputError(
                f"activation_function {self.activation_function!r} is not one of"
                f" {', '.join(ACTIVATIONS)}."
            )
        for side in ("encoder", "decoder"):
            heads = getattr(self, f"{side}_attention_heads")
            if self.d_model % heads:
                raise InputError(f"{side}_attention_heads {heads} do not divide d_model.")

    @classmethod
    def from_hf(cls, config: Mapping[str, Any]) -> "BartConfig":
        """InputError: another kind of model, a missing key, or an option that is not understood."""
        if config.get("model_type") != "bart":
            raise InputError(f"model_type is {config.get('model_type')!r}, not 'bart'.")
        names = {field.name for field in dataclasses.fields(cls)}
        required = {f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING}
        if missing := sorted(required - set(config)):
            raise InputError(f"the key {missing[0]!r} is missing.")
        if config.get("tie_word_embeddings", True) is not True:
            raise InputError("tie_word_embeddings is False; BART's table is also its last layer.")
        return cls(**{name: config[name] for name in names if name in config})

    def to_hf(self) -> dict[str, Any]:
        """The config.json that transformers reads."""
        return {
            "model_type": "bart",
            "architectures": ["BartForConditionalGeneration"],
            "is_encoder_decoder": True,
            "bos_token_id": 0,
            **dataclasses.asdict(self),
        }
