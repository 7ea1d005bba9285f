"""Pretrained models: a directory, hub id or installed package into params, and back by `export`."""

import dataclasses
import functools
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tart_jax import io
from tart_jax.data import hub, tokenization
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import adapter, class_towers, encoders, sentence_modules, weights
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.encoders import EncoderConfig
from tart_jax.models.export import export
from tart_jax.models.format import FILE, Card, Format
from tart_jax.models.sentence_modules import SentenceModules
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

__all__ = ["Format", "Pretrained", "export", "load", "params_sha256"]

log = logging.getLogger(__name__)
params_sha256 = weights.params_sha256
# All a hub model may need beside its weights; `[0-9]_*` are sentence-transformers' module folders.
PATTERNS = (
    *tokenization.FILES,
    *("config.json", FILE, sentence_modules.MODULES, sentence_modules.LENGTH),
    *("[0-9]_*/*", "query/*", "document/*"),
)
# How TART's trainer names the two towers of a bi-encoder.
TOWERS = {"query": "q_encoder.", "document": "p_encoder."}


@dataclasses.dataclass
class Pretrained:
    """A model ready to encode.

    params: nested dict of float32 numpy arrays, on the host. format_known: whether the directory
    said what it was trained to read; if not, `format` is a guess. ignored: keys of the checkpoint
    that an embedding has no use for. weights_sha256: see `params_sha256`. query_towers: class ->
    its tasks, of a model in training that has such towers (`class_towers`).
    """

    config: DualEncoderConfig
    params: dict[str, Any]
    format: Format
    format_known: bool
    tokenizer: Tokenizer
    weights_sha256: str
    source: str
    ignored: tuple[str, ...] = ()
    query_towers: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def document_sha256(self) -> str:
        """Of what embeds documents: embeddings serve every query tower that was trained to them."""
        if self.config.tied:
            return self.weights_sha256
        return params_sha256(self.params["document"])


@dataclasses.dataclass(frozen=True)
class _Part:
    """One tower as a directory holds it."""

    encoder: EncoderConfig
    params: dict[str, Any]
    ignored: tuple[str, ...]


def load(
    source: str | Path,
    *,
    pooling: str | None = None,
    normalize: bool | None = None,
    projection: int | None = None,
    tied: bool | None = None,
    dtype: str = "float32",
    remat: str = "none",
    scan: bool = False,
) -> Pretrained:
    """Loads a model without PyTorch.

    source: a directory in Hugging Face's, sentence-transformers' or our layout, or of a LoRA
    adapter (PEFT's, see `models.adapter`), which names the model that it changes; a `.pth`, `.bin`
    or `.safetensors` file with config and tokenizer beside it; a hub id; or `package:NAME`.
    pooling, normalize, projection, tied: None is what the directory says, else mean, not
    normalised, none, tied. A projection the directory lacks starts at random, with a warning; two
    towers from one start as copies. dtype, remat: see `BertEncoder`; scan: see `T5Encoder`.
    InputError: anything missing, misshaped or not understood; nothing else starts at random.
    """
    form: dict[str, Any] = {"dtype": dtype, "remat": remat, "scan": scan}
    if adapter.base(source):
        return _adapted(Path(source), pooling, normalize, projection, tied, form)
    class_towers.refuse(source)
    directory, file = _locate(source)
    card = Card.read(directory)
    apart = card is not None and not card.tied
    modules = sentence_modules.read(directory / "document" if apart else directory)
    _check_card(card, modules, directory)
    towers = _towers(directory, file, modules, apart, scan)
    if tied and "query" in towers:
        raise InputError(f"{source} holds two towers; tied=True would drop one of them.")
    document = towers["document"]
    config = DualEncoderConfig(
        encoder=document.encoder,
        pooling=pooling or modules.pooling or "mean",
        normalize=modules.normalize if normalize is None else normalize,
        projection=_projection_width(projection, modules, source),
        tied="query" not in towers if tied is None else tied,
        **form,
    )
    tokenizer = _tokenizer(modules.encoder, document.encoder, source)
    return Pretrained(
        config=config,
        params=(params := _params(towers, config)),
        format=card.format if card else _guessed_format(document.encoder, modules, tokenizer),
        format_known=card is not None, tokenizer=tokenizer,
        weights_sha256=params_sha256(params), source=str(source), ignored=document.ignored,
    )  # fmt: skip


def outline(source: str | Path) -> tuple[EncoderConfig, bool]:
    """(a model's encoder, whether its towers are one), from its config.json; no weight is read."""
    base = adapter.base(source) or source
    directory = Path(base).parent if Path(base).is_file() else hub.locate(base, PATTERNS)
    card = Card.read(directory)
    apart = card is not None and not card.tied
    return _config(sentence_modules.read(directory / "document" if apart else directory)), not apart


def _adapted(
    directory: Path,
    pooling: str | None,
    normalize: bool | None,
    projection: int | None,
    tied: bool | None,
    form: dict[str, Any],
) -> Pretrained:
    """The base of an adapter with the adapter in it; form: dtype, remat, scan."""
    card = Card.read(directory)
    if card is not None:
        pooling, tied = pooling or card.pooling, card.tied if tied is None else tied
        normalize = card.normalize if normalize is None else normalize
    model = load(
        adapter.base(directory) or "", pooling=pooling, normalize=normalize, projection=projection,
        tied=tied, **form,
    )  # fmt: skip
    apart = (directory / "query").is_dir()
    folders = {tower: directory / tower if apart else directory for tower in model.params}
    params = {
        tower: adapter.merge_tower(folder, model.params[tower], model.config)
        for tower, folder in folders.items()
    }
    return dataclasses.replace(
        model,
        params=params,
        format=card.format if card else model.format,
        format_known=card is not None or model.format_known,
        weights_sha256=params_sha256(params),
        source=str(directory),
    )


def _locate(source: str | Path) -> tuple[Path, Path | None]:
    """The model's directory, and the weight file where the source names one."""
    path = Path(source)
    if path.is_file() and path.suffix in (".pth", ".bin", ".safetensors"):
        return path.parent, path
    directory = hub.locate(source, (*PATTERNS, "model*.safetensors*"))
    if hub.is_hub_id(source) and not any(directory.rglob("*.safetensors")):
        directory = hub.locate(source, (*PATTERNS, "pytorch_model*.bin*"))
    return directory, None


def _towers(
    directory: Path, file: Path | None, modules: SentenceModules, apart: bool, scan: bool
) -> dict[str, _Part]:
    """The towers that a source holds: `document`, and `query` where it has one of its own."""
    if apart:
        query = sentence_modules.read(directory / "query")
        parts = {"query": query, "document": modules}
        towers = {
            name: _tower(part, weights.iterate(part.encoder), part.encoder, scan)
            for name, part in parts.items()
        }
        if towers["query"].encoder != towers["document"].encoder:
            raise InputError(
                f"{directory}: config.json of query and document differ; they should be one model."
            )
        return towers
    if file is None and isinstance(_config(modules), T5Config):
        # one tensor after the other: an XL is not to lie in memory twice
        return {
            "document": _tower(modules, weights.iterate(modules.encoder), modules.encoder, scan)
        }
    tensors = weights.read_file(file) if file else weights.read(modules.encoder)
    where = file or modules.encoder
    if not all(name.startswith(tuple(TOWERS.values())) for name in tensors):
        return {"document": _tower(modules, tensors.items(), where, scan)}
    return {
        name: _tower(
            modules,
            ((k.removeprefix(p), v) for k, v in tensors.items() if k.startswith(p)),
            where,
            scan,
        )
        for name, p in TOWERS.items()
    }


def _config(modules: SentenceModules) -> EncoderConfig:
    path = modules.encoder / "config.json"
    try:
        return encoders.config_from_hf(io.read_json(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _tower(
    modules: SentenceModules, tensors: Iterable[tuple[str, np.ndarray]], where: Path, scan: bool
) -> _Part:
    config = _config(modules)
    encoders.check_scan(config, scan)
    encoder, ignored = encoders.params_from_hf(tensors, config, str(where), scan=scan)
    if ignored:
        log.info("%s: ignored %s", where, ", ".join(ignored))
    params: dict[str, Any] = {"encoder": encoder}
    if modules.projection is not None:
        params["projection"] = modules.projection
    return _Part(config, params, ignored)


def _params(towers: dict[str, _Part], config: DualEncoderConfig) -> dict[str, Any]:
    """The params of both sides: one tower twice where two are asked of one."""
    params = {name: tower.params for name, tower in towers.items()}
    if config.projection is not None and "projection" not in params["document"]:
        layer = _fresh_projection(config.encoder.hidden_size, config.projection)
        params = {name: {**tower, "projection": layer} for name, tower in params.items()}
    if not config.tied:
        params.setdefault("query", jax.tree.map(lambda leaf: leaf, params["document"]))
    return params


def _tokenizer(directory: Path, config: EncoderConfig, source: str | Path) -> Tokenizer:
    tokenizer = Tokenizer.load(directory)
    if tokenizer.vocab_size > config.vocab_size:
        raise InputError(
            f"{source}: the tokenizer knows {tokenizer.vocab_size} tokens, the model only "
            f"{config.vocab_size}; they do not belong together."
        )
    return tokenizer


def _check_card(card: Card | None, modules: SentenceModules, directory: Path) -> None:
    width = None if modules.projection is None else modules.projection["kernel"].shape[1]
    said = (modules.pooling, modules.normalize, width)
    if card is not None and said != (card.pooling, card.normalize, card.projection):
        raise InputError(
            f"{directory}: {FILE} says pooling, normalize, projection are {card.pooling}, "
            f"{card.normalize}, {card.projection}, modules.json {', '.join(map(str, said))}; "
            "make them agree."
        )


def _projection_width(
    asked: int | None, modules: SentenceModules, source: str | Path
) -> int | None:
    if modules.projection is None:
        return asked
    width = modules.projection["kernel"].shape[1]
    if asked not in (None, width):
        raise InputError(
            f"{source} projects to {width} dimensions; projection={asked} cannot be had."
        )
    return width


def _fresh_projection(width: int, dims: int) -> dict[str, np.ndarray]:
    log.warning("The projection to %d dimensions is new: random until it is trained.", dims)
    kernel = jax.nn.initializers.lecun_normal()(jax.random.key(0), (width, dims))
    return {"kernel": np.asarray(kernel), "bias": np.zeros(dims, np.float32)}


def _guessed_format(
    config: EncoderConfig, modules: SentenceModules, tokenizer: Tokenizer
) -> Format:
    """TART's order and the tokenizer's separator; the length that the directory names."""
    positions = encoders.positions(config)
    named = modules.max_length or tokenizer.model_max_length or positions or encoders.T5_LENGTH
    length = named if positions is None else min(named, positions)
    return Format(query_length=length, document_length=length)
