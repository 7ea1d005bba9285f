"""Stage `read`: a reader writes an answer to each input, in KILT's form of predictions."""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from tqdm import tqdm

from tart_jax import io
from tart_jax.data import examples
from tart_jax.data.examples import TrainingExample
from tart_jax.data.reading import NOTHING, ReadingRow, passages_of
from tart_jax.models import reader
from tart_jax.search.partial import PartialFile
from tart_jax.types import InputError

logger = logging.getLogger(__name__)
PREDICTIONS = "predictions.jsonl"


def run(config: ConfigDict, workdir: Path) -> None:
    """Writes `workdir/predictions.jsonl`; after a kill it continues."""
    if not config.model or not config.examples:
        raise InputError(
            "--config.model and --config.examples are both needed: a reader (T5 or BART), and what"
            " `tart-jax prepare --config=configs/prepare/reading.py` makes."
        )
    if config.beams < 1 or config.block_size < 1:
        raise InputError("config.beams and config.block_size should be 1 or more.")
    path = io.existing(config.examples, "examples")
    path = path / "examples.jsonl" if path.is_dir() else path
    model = reader.load(config.model, dtype=config.compute_dtype)
    if not model.format_known:
        logger.warning("%s says nothing of passages and lengths; it reads as %s.", config.model,
                       model.format)  # fmt: skip
    identity = {
        "weights_sha256": model.weights_sha256,
        "tokenizer": model.tokenizer.fingerprint(),
        "format": asdict(model.format),
        "examples": str(path.resolve()),
        "examples_sha256": io.sha256(io.existing(path, "examples")),
        "beams": config.beams,
        "length_penalty": config.length_penalty,
        "block_size": config.block_size,
    }
    partial = PartialFile(workdir, identity, name=PREDICTIONS, overwrite=config.overwrite)
    if partial.complete:
        logger.info("%s is there already, made from the same.", workdir / PREDICTIONS)
        return
    write = reader.Writer(model, beams=config.beams, length_penalty=config.length_penalty)
    count = sum(1 for _ in io.lines(path))
    start, done = time.perf_counter(), partial.queries
    with tqdm(total=count, initial=done, unit="input", desc="read", disable=None) as progress:
        for block in _blocks(path, partial.queries, config.block_size):
            rows = [_row(example, model.format.passages) for example in block]
            rows += rows[-1:] * (config.block_size - len(rows))  # one shape, one program
            lines = [_line(*pair) for pair in zip(block, write(rows), strict=False)]
            seconds, start = time.perf_counter() - start, time.perf_counter()
            partial.append(lines, queries=len(block), seconds=seconds)
            progress.update(len(block))
    partial.finish({"model": model.source})
    logger.info("%s answers in %.0f s: %s", f"{count:,}", partial.seconds, workdir / PREDICTIONS)


def _blocks(path: Path, done: int, size: int) -> Iterator[list[TrainingExample]]:
    block: list[TrainingExample] = []
    for number, example in enumerate(examples.read(path)):
        if number < done:
            continue
        block.append(example)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def _row(example: TrainingExample, count: int) -> ReadingRow:
    return ReadingRow(example.query, passages_of(example, count), "", example.query_id)


def _line(example: TrainingExample, answer: str) -> str:
    """A line of KILT's; pages are those of the example's passages, read or not, best first."""
    pages = dict.fromkeys(
        d.doc_id.rpartition("-")[0] for d in example.positives if d.doc_id != NOTHING
    )
    places = [{"wikipedia_id": page} for page in pages if page]
    record: dict[str, Any] = {
        "id": example.query_id,
        "input": example.query,
        "output": [{"answer": answer, "provenance": places}],
    }
    return json.dumps(record, ensure_ascii=False) + "\n"
