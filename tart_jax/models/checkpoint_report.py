"""What became of every key of a checkpoint that was read."""

import dataclasses
from typing import Any

from tart_jax.tables import Table
from tart_jax.types import InputError

SHOWN = 8  # keys of a group that an error names; the report lists all


class MismatchError(InputError):
    """A checkpoint is not the model that it is taken for; `report` lists every key."""

    def __init__(self, message: str, report: "Report"):
        super().__init__(message)
        self.report = report


@dataclasses.dataclass(frozen=True)
class Report:
    """Keys as the checkpoint writes them.

    matched: became parameters. ignored: known, and of no use to the model (a pooler, a momentum
    encoder). missing: the model has them, the checkpoint has not. unexpected: the reverse.
    misshaped: with both shapes.
    """

    layout: str
    matched: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshaped: tuple[str, ...] = ()

    def check(self, sentence: str, strict: bool) -> None:
        """MismatchError where weights would be made up; or, if strict, where some would be lost."""
        groups = {
            "missing": self.missing,
            "of the wrong shape": self.misshaped,
            "unexpected": self.unexpected,
        }
        if self.missing or self.misshaped or (self.unexpected and strict):
            found = "; ".join(
                f"{len(keys)} {name}: {', '.join(keys[:SHOWN])}"
                + (f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else "")
                for name, keys in groups.items()
                if keys
            )
            only_more = not self.missing and not self.misshaped
            way_out = "; strict=False leaves them out" if only_more else ""
            raise MismatchError(f"{sentence}: {found}{way_out}.", self)

    def record(self) -> dict[str, Any]:
        """The content of convert.json: counts, then keys."""
        fields = {k: list(v) for k, v in dataclasses.asdict(self).items() if k != "layout"}
        counts = {name: len(keys) for name, keys in fields.items()}
        return {"layout": self.layout, "counts": counts, **fields}

    def table(self, title: str) -> Table:
        """Counts, and every key that did not match."""
        rows = [["matched", f"{len(self.matched):,}", ""]]
        for name in ("ignored", "missing", "unexpected", "misshaped"):
            keys = getattr(self, name)
            rows.append([name, f"{len(keys):,}", keys[0] if keys else ""])
            rows.extend(["", "", key] for key in keys[1:])
        return Table(title, ["keys", "count", "which"], rows)
