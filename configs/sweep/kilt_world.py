"""The studies of multi-task DPR (Maillard et al. 2021) on a small KILT-like world.

  :table3  multi-task, task-specific, BM25
  :table5  leave one out: zero-shot, and fine-tuned on 128 examples, against training on those alone
  :table6  base, task markers, class towers, one shared tower, from scratch
  :table7  with BM25's confounders, and for nq with the model's own (scripts/kilt_world.sh)
Each model 200 steps of 16; a task-specific one 70, few-shot tuning 40.

tart-jax sweep --config=configs/sweep/kilt_world.py:table3 --workdir=runs/kilt_world/table3
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

DATA = "runs/kilt_world"
TASKS = ("fever", "aidayago2", "structured_zeroshot", "nq", "hotpotqa", "wow")
CLASSES = ("qa=nq,hotpotqa", "claims=fever", "entities=aidayago2", "slots=structured_zeroshot",
           "dialogue=wow")  # fmt: skip
MARKERS = ("[unused2]", "[unused3]", "[unused4]", "[unused5]", "[unused6]")
LEFT_OUT = ("fever",)  # of Table 5
FEW = "data.cap=128; steps=40; optimizer.warmup_steps=4; optimizer.peak_lr=5e-5"


def only(task: str) -> str:
    return f"data.held_out={tuple(other for other in TASKS if other != task)}"


def few_shot() -> list[str]:
    found = []
    for task in LEFT_OUT:
        found += [
            f"without {task}: data.held_out=('{task}',)",
            f"without {task}, then 128: model.source={{without {task}}}; {only(task)}; {FEW}",
            f"128 of {task} alone: {only(task)}; {FEW}",
        ]
    return found


STUDIES = {
    "table3": (
        "multi-task:",
        *(f"only {task}: {only(task)}; steps=70; optimizer.warmup_steps=7" for task in TASKS),
        "BM25: evaluate.retriever=BM25",
    ),
    "table5": ("multi-task:", *few_shot(), "BM25: evaluate.retriever=BM25"),
    "table6": (
        "base:",
        f"task markers: data.instructions=bank:kilt_markers; data.separator=;"
        f" data.special_tokens={MARKERS}; evaluate.instructions=bank:kilt_markers;"
        " evaluate.instruction=('right',)",
        f"task-specific query encoders: model.query_towers={CLASSES}",
        "one shared tower: model.tied=True",
        "from scratch: model.from_scratch=True",
    ),
    "table7": (
        "multi-task:",
        f"adversarial: data.train={DATA}/adversarial/mined.jsonl",
    ),
}
COMBINED = {
    "table3": (f"task-specific: {'; '.join(f'{task}=only {task}' for task in TASKS)}",),
}


def get_config(arg: str = "") -> ConfigDict:
    name, _, form = (arg if arg not in ("", "quicktest") else f"table3-{arg}").partition("-")
    if name not in STUDIES or form not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there are {', '.join(STUDIES)}, each also"
                         " as NAME-quicktest")  # fmt: skip
    config = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"](form)
    config.train = "configs/train/kilt_world.py" + (f":{form}" if form else "")
    config.variants = STUDIES[name]
    config.combined = COMBINED.get(name, ())
    config.evaluate = "configs/evaluate/kilt.py"
    gold = tuple(f"{task}={DATA}/raw/{task}-dev-kilt.jsonl" for task in TASKS)
    config.evaluate_options = (f"benchmark={DATA}/kilt", f"gold={gold}")
    config.published = "Maillard" if name == "table6" else ""
    config.seeds = (0,)
    return config
