"""Stage `export`: our training examples, or a TREC run, to a foreign format, with its losses."""

from pathlib import Path

from ml_collections import ConfigDict

from tart_jax import io
from tart_jax.data import examples
from tart_jax.data.exchange import formats
from tart_jax.tables import Table
from tart_jax.types import InputError


def run(config: ConfigDict, workdir: Path) -> None:
    """Writes the format's file or folder and counts.json, and shows what could not be carried."""
    if not config.format or not config.path:
        raise InputError(
            "--config.format and --config.path are both needed: the format's name, and a file of"
            " training examples (or, for kilt_predictions, a TREC run)."
        )
    write = formats.writer(config.format)
    format = formats.FORMATS[config.format]
    options = formats.options(write, dict(**config.options), config.format)
    io.existing(config.path, "data")
    output = workdir / format.output
    source = config.path if format.from_run else examples.read(config.path)
    exported = write(output, source, **options)
    counts = {
        "read": exported.examples,
        "written": exported.records,
        "lost": dict(exported.lost.most_common()),
    }
    io.write_json(workdir / "counts.json", counts)
    rows = [
        ["queries of the run" if format.from_run else "examples read", f"{exported.examples:,}"],
        ["records written", f"{exported.records:,}"],
        *([f"not carried: {what}", f"{n:,}"] for what, n in exported.lost.most_common()),
    ]
    Table(f"{output.name} ({config.format})", ["what", "count"], rows).show()
