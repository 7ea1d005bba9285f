"""Stage `verify-resume`: a training that is killed and goes on, against one that never was."""

import logging
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from tart_jax import config as configs
from tart_jax import io
from tart_jax.tables import Table
from tart_jax.train.metrics import FILE
from tart_jax.train.options import parse
from tart_jax.types import EndedError, InputError

log = logging.getLogger(__name__)
COMPARED = ("loss", "grad_norm", "param_norm", "learning_rate")  # of every step
POLL = 0.005  # seconds
JITTER = 0.5  # seconds after a checkpoint within which it is killed


def run(config: ConfigDict, workdir: Path) -> None:
    """Writes `whole/`, `killed/` and verify.json. EndedError: the two differ, or one failed."""
    if not 1 <= config.kills < config.steps:
        raise InputError(
            f"config.kills is {config.kills} and config.steps {config.steps}; there should be at"
            " least one kill, and more steps than kills."
        )
    if (workdir / "whole").exists():
        raise InputError(f"{workdir} holds an earlier check; choose another --workdir.")
    options = parse(config.train_options, _decided(config), "train_options") | _decided(config)
    # Loaded for its errors: they are told before anything is trained.
    configs.load(config.train, [f"--config.{key}={value}" for key, value in options.items()])
    _finish(_start(config.train, workdir / "whole", options), workdir / "whole")
    killed_after = _killed(config, workdir / "killed", options)
    differences = compare(workdir / "whole", workdir / "killed")
    found = {"equal": not differences, "killed_after": killed_after, "differences": differences}
    io.write_json(workdir / "verify.json", found | {"steps": config.steps})
    rows = [["whole", "-", "-"], ["killed", str(killed_after), ", ".join(differences) or "none"]]
    Table("Resume", ["training", "killed after step", "differences"], rows).show()
    if differences:
        raise EndedError(
            f"the killed training is another in {differences[0]}; see {workdir / 'verify.json'}.", 1
        )
    log.info("Killed %d times, and equal bit for bit: %s", len(killed_after), workdir)


def compare(whole: Path, killed: Path) -> list[str]:
    """What differs: "loss of step 3", "weights"; empty where nothing does."""
    differences = []
    first, second = ([row for _, row in io.read_jsonl(each / FILE)] for each in (whole, killed))
    if [row["step"] for row in first] != [row["step"] for row in second]:
        differences.append("the steps that were logged")
    for one, other in zip(first, second, strict=False):
        differences += [
            f"{name} of step {one['step']}" for name in COMPARED if one.get(name) != other.get(name)
        ]
    hashes = [io.read_json(each / "result.json")["weights_sha256"] for each in (whole, killed)]
    return differences + ["weights"] * (hashes[0] != hashes[1])


def _decided(config: ConfigDict) -> dict[str, object]:
    """Each step is saved and logged, so that each may be the last before a kill."""
    return {
        "steps": config.steps,
        "epochs": 0.0,
        "checkpoint.save_every": 1,
        "log.every": 1,
        "log.tensorboard": False,
    }


def _killed(config: ConfigDict, workdir: Path, options: Mapping[str, object]) -> list[int]:
    """Runs it to its end with SIGKILLs: the steps after whose checkpoints they came."""
    draw = random.Random(config.seed)
    targets = sorted(draw.sample(range(1, config.steps), config.kills))
    done: list[int] = []
    for target in targets:
        process = _start(config.train, workdir, options)
        while process.poll() is None and _last_step(workdir) < target:
            time.sleep(POLL)
        time.sleep(draw.uniform(0, JITTER))
        if process.poll() is not None:
            break  # it failed, which `_finish` tells, or it was done
        process.kill()
        process.wait()
        done.append(_last_step(workdir))
    _finish(_start(config.train, workdir, options), workdir)
    if not done:
        raise EndedError("the training ended before it could be killed; raise config.steps.", 1)
    return done


def _last_step(workdir: Path) -> int:
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return max((int(name) for name in names if name.isdigit()), default=0)


def _start(file: str, workdir: Path, options: Mapping[str, object]) -> subprocess.Popen[Any]:
    """The command in a process of its own; what it says goes to `workdir`.log."""
    words = [f"--config.{key}={value}" for key, value in options.items()]
    command = [sys.executable, "-m", "tart_jax", "train", f"--config={file}"]
    workdir.mkdir(parents=True, exist_ok=True)
    with workdir.with_suffix(".log").open("a") as said:
        return subprocess.Popen(
            [*command, f"--workdir={workdir}", *words], stdout=said, stderr=said
        )


def _finish(process: subprocess.Popen[Any], workdir: Path) -> None:
    if process.wait():
        said = workdir.with_suffix(".log").read_text("utf-8").strip().splitlines()
        raise EndedError(
            f"the training in {workdir} failed: {said[-1] if said else 'it said nothing'}"
            f" (all of it is in {workdir.with_suffix('.log')}).",
            1,
        )
