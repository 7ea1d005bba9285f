"""The studies of multi-task DPR (Maillard et al. 2021) on KILT, in the form of the paper's tables.

  :table3  multi-task, task-specific, BM25 (aidayago2 counts by page alone)
  :table5  leave one out: zero-shot, then 128 and 1,024 examples, against DPR on those alone
  :table6  base, task markers, task-specific query encoders, one shared tower, from scratch
  :table7  with BM25's confounders, and with the model's own for nq and triviaqa (tart-jax mine)
Not run at this size: a model takes hours on eight GPUs (docs/multitask_dpr.md). The same studies on
a small world, which were run: configs/sweep/kilt_world.py.

tart-jax sweep --config=configs/sweep/multitask_dpr.py:table3 --workdir=runs/table3
"""

import runpy
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

TASKS = ("fever", "aidayago2", "trex", "structured_zeroshot", "nq", "hotpotqa", "triviaqa", "wow")
CLASSES = ("qa=nq,hotpotqa,triviaqa", "claims=fever", "entities=aidayago2",
           "slots=trex,structured_zeroshot", "dialogue=wow")  # fmt: skip
MARKERS = ("[unused2]", "[unused3]", "[unused4]", "[unused5]", "[unused6]")
BM25 = "BM25: evaluate.retriever=BM25"


def only(task: str, tasks: Sequence[str]) -> str:
    return f"data.held_out={tuple(other for other in tasks if other != task)}"


def few_shot(
    tasks: Sequence[str], left_out: Sequence[str], shots: Sequence[int], tuning: str
) -> list[str]:
    """Of each task: trained without it, that tuned on a few examples, and these alone."""
    found = []
    for task in left_out:
        found.append(f"without {task}: data.held_out=('{task}',)")
        for shot in shots:
            own = f"{only(task, tasks)}; data.cap={shot}; {tuning}"
            found += [
                f"without {task}, then {shot}: model.source={{without {task}}}; {own}",
                f"{shot} of {task} alone: {own}",
            ]
    return found


def left_out_rows(left_out: Sequence[str], shots: Sequence[int]) -> tuple[str, ...]:
    """Table 5's rows: of each task the model that was trained without it, or on few of its own."""
    of = {"zero-shot": "without {task}"}
    for shot in shots:
        of |= {f"then {shot} examples": f"without {{task}}, then {shot}",
               f"{shot} examples alone": f"{shot} of {{task}} alone"}  # fmt: skip
    return tuple(
        f"{row}: " + "; ".join(f"{task}={variant.format(task=task)}" for task in left_out)
        for row, variant in of.items()
    )


def studies(
    tasks: Sequence[str],
    classes: Sequence[str],
    *,
    single: str,
    left_out: Sequence[str],
    shots: Sequence[int],
    tuning: str,
    adversarial: str,
) -> dict[str, tuple[str, ...]]:
    """Study -> its variants. single, tuning: options of a task-specific and of a few-shot run."""
    return {
        "table3": (
            "multi-task:",
            *(f"only {task}: {only(task, tasks)}; {single}" for task in tasks),
            BM25,
        ),
        "table5": ("multi-task:", *few_shot(tasks, left_out, shots, tuning), BM25),
        "table6": (
            "base:",
            "task markers: data.instructions=bank:kilt_markers; data.separator=;"
            f" data.special_tokens={MARKERS}; evaluate.instructions=bank:kilt_markers;"
            " evaluate.instruction=('right',)",
            f"task-specific query encoders: model.query_towers={tuple(classes)}",
            "one shared tower: model.tied=True",
            "from scratch: model.from_scratch=True",
        ),
        "table7": ("multi-task:", f"adversarial: data.train={adversarial}"),
    }


def sweep(
    arg: str,
    variants: dict[str, tuple[str, ...]],
    tasks: Sequence[str],
    *,
    left_out: Sequence[str],
    shots: Sequence[int],
    train: str,
    kilt: str,
    gold: str,
) -> ConfigDict:
    """The sweep of one study. left_out, shots: of table 5. gold: of a task's file, with {task}."""
    name, _, form = (arg if arg not in ("", "quicktest") else f"table3-{arg}").partition("-")
    if name not in variants or form not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there are {', '.join(variants)}, each also"
                         " as NAME-quicktest")  # fmt: skip
    default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]
    config = default(form)
    config.train = train + (f":{form}" if form else "")
    config.variants = variants[name]
    if name == "table3":
        parts = "; ".join(f"{task}=only {task}" for task in tasks)
        config.combined = (f"task-specific: {parts}",)
    if name == "table5":
        config.combined, config.tasks = left_out_rows(left_out, shots), tuple(left_out)
    config.evaluate = "configs/evaluate/kilt.py"
    files = tuple(f"{task}={gold.format(task=task)}" for task in tasks)
    config.evaluate_options = (f"benchmark={kilt}", f"gold={files}")
    config.published = "Maillard" if name == "table6" else ""
    config.seeds = (0,)
    return config


def get_config(arg: str = "") -> ConfigDict:
    some = dict(left_out=TASKS, shots=(128, 1024))
    variants = studies(
        TASKS, CLASSES, **some, single="epochs=80.0",
        tuning="epochs=40.0; data.batch_size=64; optimizer.warmup_steps=20",
        adversarial="runs/kilt_adversarial/mined.jsonl",
    )  # fmt: skip
    return sweep(
        arg, variants, TASKS, **some, train="configs/train/multitask_dpr.py", kilt="runs/kilt",
        gold="{task}-dev-kilt.jsonl",
    )  # fmt: skip
