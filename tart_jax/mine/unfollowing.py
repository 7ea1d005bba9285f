"""Instruction-unfollowing negatives: they suit the query, and are of a kind not asked for.

TART (4.2) takes them from other corpora, by the pairs of its Table 10.
"""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from tart_jax import io
from tart_jax.data.splits import text_hash
from tart_jax.types import InputError, ScoredDocument

PAPER = "paper"  # the table that comes with the package
HEADER = ["task", "corpora"]


def locate(path: str) -> Path:
    """The file of a path, or of the table that comes with the package."""
    packaged = resources.files("tart_jax.mine").joinpath("unfollowing.tsv")
    return Path(str(packaged)) if path == PAPER else Path(path)


def read_table(path: str) -> dict[str, tuple[str, ...]]:
    """task -> the corpora that its unfollowing negatives come from; "paper": TART's Table 10.

    A TSV with the header `task corpora`, the corpora between commas.
    """
    table: dict[str, tuple[str, ...]] = {}
    for number, line in io.lines(locate(path)):
        cells = [cell.strip() for cell in line.split("\t")]
        where = f"{path}: line {number}"
        if number == 1:
            if cells != HEADER:
                raise InputError(
                    f"{where} should be the header 'task<TAB>corpora', not {line[:80]!r}."
                )
            continue
        if not any(cells):
            continue
        corpora = [word.strip() for word in cells[1].split(",")] if len(cells) == 2 else []
        if not cells[0] or not corpora or not all(corpora):
            raise InputError(
                f"{where} should be a task, a tab and corpora between commas, not {line[:80]!r}."
            )
        if cells[0] in table:
            raise InputError(f"{where} repeats the task {cells[0]!r}; join the rows.")
        if cells[0] in corpora:
            raise InputError(f"{where} names {cells[0]!r} as the wrong kind of its own queries.")
        table[cells[0]] = tuple(corpora)
    if not table:
        raise InputError(f"{path} holds no row; it needs a header and one row per task.")
    return table


def allowance(others: int, share: float) -> int:
    """How many documents may stand beside `others` and make up at most `share` of all."""
    if not 0 <= share < 1:
        raise InputError(f"share {share} is not in [0, 1); the paper's is 0.2.")
    return int(share * others / (1 - share) + 1e-9)  # 0.2 * 4 / 0.8 is a little under 1 in floats


def choose(
    pools: Mapping[str, Sequence[ScoredDocument]], count: int, seed: int, query_id: str
) -> list[tuple[str, ScoredDocument]]:
    """At most `count` (corpus, document), drawn from all pools as a function of (seed, query_id).

    pools: corpus -> its candidates. A smaller count gives the beginning of the same draw.
    """
    every = [(corpus, hit) for corpus, hits in pools.items() for hit in hits]
    draw = np.random.default_rng(text_hash(f"{seed} unfollowing {query_id}"))
    return [every[place] for place in draw.permutation(len(every))[:count].tolist()]
