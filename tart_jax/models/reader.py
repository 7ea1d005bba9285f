"""A reader: a T5 or BART that writes an answer, having read passages beside the input.

Petroni et al. 2021 (KILT), section 4: passages prepended to the input. Fusion-in-Decoder: Izacard
and Grave 2021; each passage is encoded with the input by itself, the decoder attends to all.
"""

import dataclasses
import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from flax import nnx

from tart_jax import io, sharding
from tart_jax.data.reading import ReadingCollator, ReadingRow
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import (
    bart,
    generate,
    names_bart,
    names_t5,
    pretrained,
    pretrained_cross,
    seq2seq_scorer,
    t5_decoder,
    weights,
)
from tart_jax.models.bart_config import BartConfig
from tart_jax.models.bert import BertConfig
from tart_jax.models.encoders import EncoderConfig
from tart_jax.models.export_cross import replacing
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

log = logging.getLogger(__name__)
FILE = "tart_jax_reader.json"
VERSION = 1


@dataclasses.dataclass(frozen=True)
class ReaderFormat:
    """What is read and written; lengths in tokens, with `fusion` that of each passage's input."""

    passages: int = 3
    fusion: bool = False
    input_length: int = 512
    answer_length: int = 32


@dataclasses.dataclass
class Reader:
    """A reader ready to write. params: nested dict of float32 arrays, on the host."""

    config: T5Config | BartConfig
    params: dict[str, Any]
    format: ReaderFormat
    format_known: bool
    tokenizer: Tokenizer
    weights_sha256: str
    source: str
    dtype: str = "float32"

    def graphdef(self) -> nnx.GraphDef:
        """The model without its parameters."""
        if isinstance(self.config, BartConfig):
            return bart.graphdef(self.config, dtype=self.dtype)
        return t5_decoder.graphdef(self.config, dtype=self.dtype)

    def collator(self) -> ReadingCollator:
        return ReadingCollator(self.tokenizer, **dataclasses.asdict(self.format))


def load(source: str | Path, *, dtype: str = "float32") -> Reader:
    """Loads a T5, mT5 or BART for conditional generation without PyTorch.

    source: a directory, or a hub id. dtype: of the matrix products.
    InputError: another kind of model; keys that are missing, misshaped or unexpected.
    """
    directory, _ = pretrained_cross.locate(source, pretrained_cross.PATTERNS)
    path = io.existing(directory / "config.json", "the model's")
    config = shape_of(io.read_json(path), str(path))
    if isinstance(config, BartConfig):
        params = names_bart.from_hf(weights.iterate(directory), config, str(source))
        tokenizer = Tokenizer.load(directory)
        if tokenizer.vocab_size > config.vocab_size:
            raise InputError(f"{source}: the tokenizer has {tokenizer.vocab_size} tokens, the model"
                             f" {config.vocab_size}; they do not belong together.")  # fmt: skip
        sha256 = weights.params_sha256(params)
    else:
        t5 = seq2seq_scorer.load(source, dtype=dtype)
        config, params, tokenizer = t5.config, t5.params, t5.tokenizer
        sha256 = t5.weights_sha256
    format, known = _format(directory)
    return Reader(config, params, format, known, tokenizer, sha256, str(source), dtype)


def outline(source: str | Path) -> T5Config | BartConfig:
    """The shape of what `load` would load, from its config.json; no weight is read."""
    directory, _ = pretrained_cross.locate(source, pretrained_cross.PATTERNS)
    path = io.existing(directory / "config.json", "the model's")
    return shape_of(io.read_json(path), str(path))


def shape_of(record: dict[str, Any], path: str) -> T5Config | BartConfig:
    """From the dict of a `config.json`. InputError, with the path: neither T5 nor BART."""
    try:
        if record.get("model_type") == "bart":
            return BartConfig.from_hf(record)
        return T5Config.from_hf(record)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def over_encoder(bert: pretrained.Pretrained, decoder_layers: int, *, dtype: str) -> Reader:
    """A BART whose encoder and decoder begin as a BERT (Rothe et al. 2020, BERT2BERT).

    BART's layers are BERT's but for the token types, of which the first is added to the positions,
    and 1e-5 in the norms. Decoder and output share the encoder's table of tokens. The decoder has
    BERT's first layers; where the paper starts its attention to the encoder at random, it begins as
    the layer's attention to itself. After 160 steps on 1,500 short passages 0.50 of the answers'
    tokens were right in training, 0.33 with one layer of random weights (two of MiniLM, seed 0).
    InputError: no BERT of one tower, or one of fewer layers.
    """
    source, shape = bert.source, bert.config.encoder
    if not bert.config.tied:
        raise InputError(f"{source}: config.model.new_decoder goes over a BERT of one tower.")
    end = bert.tokenizer.id_of("[SEP]")
    config = config_over(shape, decoder_layers, pad_id=bert.tokenizer.pad_id, end_id=end)
    params = _params_of_bert(config, bert.params["document"]["encoder"])
    log.warning("The decoder of %s is new: a reader only when trained.", source)
    sha256 = weights.params_sha256(params)
    return Reader(config, params, ReaderFormat(), False, bert.tokenizer, sha256, source, dtype)


def config_over(
    shape: EncoderConfig, decoder_layers: int, *, pad_id: int = 0, end_id: int = 0
) -> BartConfig:
    """The shape of `over_encoder`. InputError: no BERT, more layers than the encoder has."""
    if not isinstance(shape, BertConfig):
        raise InputError("config.model.new_decoder goes over a BERT; the source is a T5.")
    if decoder_layers > shape.num_hidden_layers:
        raise InputError(f"config.model.new_decoder is {decoder_layers}, but the encoder it begins"
                         f" as has {shape.num_hidden_layers} layers.")  # fmt: skip
    heads, inner = shape.num_attention_heads, shape.intermediate_size
    return BartConfig(
        vocab_size=shape.vocab_size, d_model=shape.hidden_size,
        encoder_layers=shape.num_hidden_layers, decoder_layers=decoder_layers,
        encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=inner,
        decoder_ffn_dim=inner, max_position_embeddings=shape.max_position_embeddings,
        activation_function=shape.hidden_act, pad_token_id=pad_id, eos_token_id=end_id,
        decoder_start_token_id=end_id,
    )  # fmt: skip


def _params_of_bert(config: BartConfig, old: dict[str, Any]) -> dict[str, Any]:
    table, layers = old["embeddings"], old["layers"]
    places = table["positions"]["embedding"] + table["types"]["embedding"][0]
    unused = np.zeros((bart.OFFSET, places.shape[1]), places.dtype)
    both = {
        "positions": {"embedding": np.concatenate([unused, places])},
        "embedding_norm": table["norm"],
    }
    crossed = {
        number: layers[number]
        | {"cross": layers[number]["attention"], "cross_norm": layers[number]["attention_norm"]}
        for number in range(config.decoder_layers)
    }
    params = {
        "table": {"embedding": table["tokens"]["embedding"]},
        "encoder": {**both, "layers": layers},
        "decoder": {**both, "layers": crossed},
        "bias": np.zeros(config.vocab_size, np.float32),
    }
    return jax.tree.map(np.array, params)  # own copies, as each of them is trained by itself


def _format(directory: Path) -> tuple[ReaderFormat, bool]:
    path = directory / FILE
    if not path.is_file():
        return ReaderFormat(), False
    record = io.read_json(path)
    names = {field.name for field in dataclasses.fields(ReaderFormat)}
    if record.pop("version", None) != VERSION or set(record) != names:
        raise InputError(f"{path} is not of version {VERSION}; load it with what wrote it.")
    return ReaderFormat(**record), True


def export(
    directory: str | Path,
    *,
    config: T5Config | BartConfig,
    params: Any,
    format: ReaderFormat,
    tokenizer: Tokenizer,
) -> None:
    """Writes a directory that transformers' AutoModelForSeq2SeqLM and `load` read."""
    directory = Path(directory)
    with replacing(directory, directory / FILE) as aside:
        tokenizer.save(aside)
        io.write_json(aside / "config.json", config.to_hf())
        tensors = (
            names_bart.to_hf(params, config)
            if isinstance(config, BartConfig)
            else names_t5.to_hf(params, config)
        )
        safetensors.numpy.save_file(tensors, aside / "model.safetensors", {"format": "pt"})
        io.write_json(aside / FILE, {"version": VERSION, **dataclasses.asdict(format)})


class Writer:
    """Writes the answers to inputs, by greedy search or beams; special tokens left out.

    The weights go to the device once, and inputs of one number of rows compile once. `params` may
    be given others of the same shapes, such as those in training.
    """

    def __init__(self, model: Reader, *, beams: int = 1, length_penalty: float = 1.0):
        options: dict[str, Any] = dict(max_new_tokens=model.format.answer_length)
        if beams > 1:
            options |= dict(num_beams=beams, length_penalty=length_penalty)
        search = generate.greedy if beams == 1 else generate.beam
        self._search = jax.jit(functools.partial(search, model.graphdef(), **options))
        self.params, self.format = jax.device_put(model.params), model.format
        self._collator, self._tokenizer, self._beams = model.collator(), model.tokenizer, beams

    def __call__(self, rows: Sequence[ReadingRow]) -> list[str]:
        read = self._collator.inputs(rows)
        found = self._search(self.params, read["input_tokens"], read["input_mask"])
        texts = sharding.to_host(found if self._beams == 1 else found[0][:, 0])
        return [self._tokenizer.decode(ids[1:], skip_specials=True).strip() for ids in texts]
