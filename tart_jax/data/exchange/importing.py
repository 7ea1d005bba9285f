"""Stage `import`: a file or folder in a foreign format to training examples, with counts."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from ml_collections import ConfigDict
from tqdm import tqdm

from tart_jax import io
from tart_jax.data import examples
from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import formats
from tart_jax.data.exchange.records import Item, Read
from tart_jax.tables import Table
from tart_jax.types import InputError


def run(config: ConfigDict, workdir: Path) -> None:
    """Writes workdir/train.jsonl and counts.json, and shows what was dropped or changed."""
    if not config.format or not config.path or not config.task:
        raise InputError(
            "--config.format, --config.path and --config.task are all needed: the format's name,"
            " the file or folder, and the task that the examples belong to."
        )
    read = formats.reader(config.format)
    options = formats.options(read, dict(**config.options), config.format)
    if "negatives" in options:
        options["negatives"] = tuple(options["negatives"].split(","))
    if config.format != "hf":  # which may name a data set of the hub
        io.existing(config.path, "data")
    counts = Counts()
    with tqdm(read(config.path, task=config.task, **options), unit="record", disable=None) as items:
        examples.write(workdir / "train.jsonl", counts.examples(iter(items), config.path))
    io.write_json(workdir / "counts.json", counts.record())
    counts.table(f"{Path(config.path).name} ({config.format})").show()


class Counts:
    """What became of the records: read = imported + rejected; several may make one example."""

    def __init__(self) -> None:
        self.imported = self.written = 0
        self.rejected: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()
        self.first: dict[str, str] = {}  # reason -> the first place where it applied

    def examples(self, items: Iterable[Item], path: str | Path) -> Iterator[TrainingExample]:
        """The examples among the items. InputError at the end if there was none."""
        for item in items:
            if isinstance(item, Read):
                self.imported += item.records
                self.written += 1
                self.changed.update(set(item.changes))
                yield item.example
            else:
                self.rejected[item.reason] += item.records
                self.first.setdefault(item.reason, item.where)
        if not self.written:
            reasons = "; ".join(
                f"{count:,} because {reason} (first: {self.first[reason]})"
                for reason, count in self.rejected.most_common()
            )
            raise InputError(
                f"{path} gives no example: "
                + (f"rejected were {reasons}." if reasons else "it holds no record.")
            )

    def record(self) -> dict:
        return {
            "read": self.imported + self.rejected.total(),
            "written": self.written,
            "rejected": dict(self.rejected.most_common()),
            "first_rejected": self.first,
            "repaired": dict(self.changed.most_common()),
        }

    def table(self, title: str) -> Table:
        rows = [
            ["records read", f"{self.imported + self.rejected.total():,}", ""],
            ["examples written", f"{self.written:,}", ""],
        ]
        for reason, count in self.rejected.most_common():
            place = self.first[reason].rpartition("/")[2]  # a whole path would fold the cells
            rows.append([f"rejected: {reason}", f"{count:,}", place])
        for what, count in self.changed.most_common():
            rows.append([f"changed: {what}", f"{count:,}", ""])
        return Table(title, ["what", "count", "first"], rows)
