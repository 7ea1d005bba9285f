"""The shape of a T5 or mT5, in the words of Hugging Face's `config.json`."""

import dataclasses
from typing import Any

from tart_jax.types import InputError

# The perceptron's activation and whether a second projection gates it, by feed_forward_proj.
FEED_FORWARD = {"relu": ("relu", False), "gated-gelu": ("gelu_new", True)}


@dataclasses.dataclass(frozen=True)
class T5Config:
    """The keys of Hugging Face's `config.json` that shape the model, under their own names.

    num_decoder_layers None: as many as the encoder has. tie_word_embeddings: the embedding table,
    scaled, is the output layer, too (v1.0). model_type: "t5" or "mt5".
    """

    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int | None = None
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    initializer_factor: float = 1.0
    feed_forward_proj: str = "relu"
    tie_word_embeddings: bool = True
    pad_token_id: int = 0
    eos_token_id: int = 1
    decoder_start_token_id: int = 0
    model_type: str = "t5"

    def __post_init__(self) -> None:
        if self.feed_forward_proj not in FEED_FORWARD:
            raise InputError(
                f"feed_forward_proj {self.feed_forward_proj!r} is not supported; "
                f"known: {', '.join(FEED_FORWARD)}."
            )
        if self.num_decoder_layers is None:
            object.__setattr__(self, "num_decoder_layers", self.num_layers)

    @property
    def hidden_size(self) -> int:
        """Width of a hidden state, under BERT's name."""
        return self.d_model

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "T5Config":
        """From the dict of a `config.json`. InputError for what is neither T5 nor mT5."""
        kind = config.get("model_type", "t5")
        if kind not in ("t5", "mt5"):
            raise InputError(f"model_type {kind!r} is not supported; 't5' and 'mt5' are.")
        names = {field.name for field in dataclasses.fields(cls)}
        values = {k: v for k, v in config.items() if k in names and v is not None}
        values["tie_word_embeddings"] = _tied(config, kind)
        values["feed_forward_proj"] = _feed_forward(config, kind)
        return cls(**values)

    def to_hf(self, *, encoder_only: bool = False) -> dict[str, Any]:
        """The dict of a `config.json` that transformers reads as this model.

        Its AutoModel takes any T5 for a whole one; T5EncoderModel and sentence-transformers read
        the encoder alone.
        """
        family = "MT5" if self.model_type == "mt5" else "T5"
        activation, gated = FEED_FORWARD[self.feed_forward_proj]
        return dataclasses.asdict(self) | {
            "architectures": [
                f"{family}EncoderModel" if encoder_only else f"{family}ForConditionalGeneration"
            ],
            "dense_act_fn": activation,
            "is_gated_act": gated,
            "is_encoder_decoder": not encoder_only,
            "use_cache": not encoder_only,
        }


def _tied(config: dict[str, Any], kind: str) -> bool:
    """Whether embedding and output layer are one table, and hence the decoder's states scaled.

    Transformers 5 writes tie_word_embeddings true whatever is so: what it means by false stands in
    scale_decoder_outputs, and mT5's output layer is apart always.
    """
    if kind == "mt5":
        return False
    return bool(config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True)))


def _feed_forward(config: dict[str, Any], kind: str) -> str:
    """feed_forward_proj, or what older files say by dense_act_fn and is_gated_act alone."""
    named = config.get("feed_forward_proj")
    if named is None and "dense_act_fn" in config:
        pair = (config["dense_act_fn"], bool(config.get("is_gated_act", False)))
        known = {value: key for key, value in FEED_FORWARD.items()}
        named = known.get(pair, f"{'gated-' * pair[1]}{pair[0]}")
    if named is None:
        return "gated-gelu" if kind == "mt5" else "relu"
    return str(named)
