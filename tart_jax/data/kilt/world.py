"""Builds a small KILT-like world in KILT's own format, to try the whole of multi-task DPR on.

Layout: source.json (the knowledge source), <task>-{train,dev}-kilt.jsonl, dataset.json with the
counts. `tart-jax prepare --config=configs/prepare/kilt.py` reads it like the real one.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data import dataset_folder
from tart_jax.data.kilt import world_items
from tart_jax.data.kilt.world_items import World
from tart_jax.data.splits import fold, split_of, text_hash
from tart_jax.tables import Table

KIND = "tart_jax kilt world"
VERSION = 1
SPLITS = ("train", "dev")
DERIVED = {"aidayago2": "links", "structured_zeroshot": "slots", "wow": "dialogue"}


def run(
    workdir: Path,
    *,
    root: str,
    hotpotqa: tuple[str, ...],
    squad: str,
    climate_fever: str,
    max_train: int,
    max_dev: int,
    max_derived: int,
    seed: int,
) -> Table:
    """Makes the world; returns its counts. InputError: a file that is not what it should be."""
    folder = io.existing(root, "config.root:")
    hotpot = [io.existing(folder / name, "config.hotpotqa:") for name in hotpotqa]
    others = [io.existing(folder / name) for name in (squad, climate_fever)]
    header = {
        "kind": KIND,
        "version": VERSION,
        "options": {"max_train": max_train, "max_dev": max_dev, "max_derived": max_derived,
                    "seed": seed},
        "sources": {path.name: io.sha256(path) for path in (*hotpot, *others)},
    }  # fmt: skip
    contents = {"source.json"} | {f"{t}-{s}-kilt.jsonl" for t in _tasks() for s in SPLITS}
    stats = dataset_folder.finished(workdir, KIND, contents)
    if any(stats.get(name) != value for name, value in header.items()):
        world = World()
        world_items.hotpotqa(world, hotpot)
        world_items.squad(world, others[0])
        world_items.climate_fever(world, others[1])
        world_items.links(world, max_derived)
        world_items.slots(world, max_derived)
        with dataset_folder.building(workdir) as (aside, stats):
            counts = _write(aside, world, max_train, max_dev, seed)
            stats |= header | {"counts": counts, "pages": len(world.pages)}
    return summary(stats)


def _tasks() -> tuple[str, ...]:
    return ("hotpotqa", "nq", "fever", *DERIVED)


def _write(
    out: Path, world: World, max_train: int, max_dev: int, seed: int
) -> dict[str, dict[str, int]]:
    """Task -> split -> items, all written; an item whose text is known already is left out."""
    io.write_jsonl(out / "source.json", (page.record() for page in world.pages))
    seen, counts = set[str](), {}
    for task in _tasks():
        parts: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        for group, item in world.items[task]:
            if (text := fold(item["input"])) not in seen:
                seen.add(text)
                parts["train" if split_of(group) == "train" else "dev"].append(item)
        for split, limit in zip(SPLITS, (max_train, max_dev), strict=True):
            drawn = sorted(parts[split], key=lambda item: text_hash(f"{seed} {item['id']}"))
            io.write_jsonl(out / f"{task}-{split}-kilt.jsonl", drawn[: limit or None])
        counts[task] = {s: min(len(parts[s]), m or len(parts[s]))
                        for s, m in zip(SPLITS, (max_train, max_dev), strict=True)}  # fmt: skip
    return counts


def summary(stats: Mapping[str, Any]) -> Table:
    rows = [
        [task, DERIVED.get(task, "real"), *(f"{counts[split]:,}" for split in SPLITS)]
        for task, counts in stats["counts"].items()
    ]
    total = Counter[str]()
    for counts in stats["counts"].values():
        total.update(counts)
    note = (
        f"{stats['pages']:,} pages; {total['train']:,} items to train on, {total['dev']:,} of dev."
    )
    return Table("A small KILT", ["task", "records", *SPLITS], rows, f"{note} nq holds SQuAD's.")
