"""Stage `rounds`: train, mine with the trained model, train again from the start on both.

Adversarial confounders (multi-task DPR, 3.2). Each act is the command of the same name, which goes
on by itself after a kill; so do the rounds.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from tart_jax import config as configs
from tart_jax import io
from tart_jax.data import corpus, instructions, mixture
from tart_jax.encode import run as encode
from tart_jax.index import run as index
from tart_jax.mine import run as mine
from tart_jax.mine.candidates import PLACE
from tart_jax.tables import Table
from tart_jax.train import dev, objective_table
from tart_jax.train import run as train
from tart_jax.train.options import parse
from tart_jax.types import InputError

log = logging.getLogger(__name__)
STAGES = {"train": train.run, "encode": encode.run, "index": index.run, "mine": mine.run}
ALL = "all"  # the folder of a corpus that all tasks share
DONE = "round.json"
SHOWN = tuple(f"dev/{measure}" for measure in dev.MEASURES)  # of each round's best checkpoint


def run(config: ConfigDict, workdir: Path) -> None:
    """Writes `round-<r>/` for each round and `rounds.json`; what is finished is not done again."""
    _check(config)
    options = {
        "train": parse(config.train_options, _of_training("", config), "train_options"),
        "mine": parse(config.mine_options, _of_mining(Path(), "", config), "mine_options"),
    }
    paths, made_from = _inputs(config, options)
    done: list[dict[str, Any]] = []
    for number in range(config.rounds + 1):
        folder = workdir / f"round-{number}"
        # A round depends on the one before by its weights, and so on all before that.
        made_from |= {"round": number, "before": done[-1]["weights_sha256"] if done else None}
        if not _is_finished(folder, made_from):
            examples = config.examples
            if number:
                model = workdir / f"round-{number - 1}" / "train" / "model"
                examples = _mined(config, folder, model, paths, options["mine"])
            of_training = options["train"] | _of_training(examples, config)
            _stage("train", config.train, folder / "train", of_training)
            _finish(folder, made_from)
        done.append(io.read_json(folder / DONE))
    io.write_json(workdir / "rounds.json", {"rounds": done})
    _summary(done).show()
    log.info("%d trainings: %s", len(done), workdir / "rounds.json")


def _check(config: ConfigDict) -> None:
    for name in ("examples", "corpus"):
        if not config[name]:
            raise InputError(f"--config.{name} is missing; --help says what it should be.")
    if config.rounds < 1:
        raise InputError(f"config.rounds is {config.rounds}; without a mining use tart-jax train.")


def _stage(name: str, file: str, workdir: Path, overrides: Mapping[str, object]) -> None:
    configs.run_stage(name, STAGES[name], file, workdir, overrides)


def _of_training(examples: str | Path, config: ConfigDict) -> dict[str, object]:
    """What a round sets. Not the initial model: every round starts from that of the config."""
    return {"data.train": examples, "data.instructions": config.instructions}


def _of_mining(indexes: Path, model: str | Path, config: ConfigDict) -> dict[str, object]:
    """What a round sets; `keep`: the examples' own negatives stay, so that it trains on both."""
    return {
        "examples": config.examples,
        "instructions": config.instructions,
        "corpus": config.corpus,
        "index": indexes / (PLACE if PLACE in config.corpus else ALL),
        "retriever.model": model,
        "keep": True,
    }


def _mined(
    config: ConfigDict,
    folder: Path,
    model: Path,
    paths: Mapping[str, str],
    options: Mapping[str, object],
) -> Path:
    """The examples with what the model takes for answers beside their own negatives."""
    for name, path in paths.items():
        embeddings = folder / "embeddings" / name
        made_of = {"model": model, "corpus": path}
        _stage("encode", "configs/encode/default.py", embeddings, made_of)
        made_of = {"embeddings": embeddings}
        _stage("index", "configs/index/default.py", folder / "index" / name, made_of)
    of_mining = _of_mining(folder / "index", model, config)
    _stage("mine", config.mine, folder / "mined", {**options, **of_mining})
    return folder / "mined" / mine.MINED


def _inputs(
    config: ConfigDict, options: Mapping[str, Mapping[str, object]]
) -> tuple[dict[str, str], dict[str, Any]]:
    """(folder name -> corpus, all that the rounds are made from); InputError: it does not fit.

    What can be wrong is said here, not after the first training.
    """
    settings = {
        name: configs.load(config[name], [f"--config.{k}={v}" for k, v in words.items()])
        for name, words in options.items()
    }
    objective = settings["train"].objective.name
    if objective_table.find(objective).kind != "dual":
        raise InputError(
            f"objective.name is {objective!r} in {config.train}: rounds mine with a dual encoder."
        )
    sources = list(mixture.open_sources(config.examples).values())
    tasks = mixture.by_task(sources)
    settings["mine"].instructions = config.instructions
    teacher = mine.check_options(settings["mine"], tasks)
    searched = mine.corpora(settings["mine"], tasks) if PLACE in config.corpus else [ALL]
    paths = {name: config.corpus.replace(PLACE, name) for name in searched}
    table = config.instructions
    made_from = {
        "examples": sorted(source.fingerprint for source in sources),
        "instructions": io.sha256(instructions.locate(table)) if table else None,
        "corpora": {name: corpus.scan(path).fingerprint for name, path in paths.items()},
        "teacher": teacher,
        **{name: json.loads(each.to_json_best_effort()) for name, each in settings.items()},
    }
    return paths, json.loads(json.dumps(made_from))  # as it will be read back


def _is_finished(folder: Path, made_from: Mapping[str, Any]) -> bool:
    if not (folder / DONE).is_file() or not (folder / "train" / "model").is_dir():
        return False
    finished: bool = io.read_json(folder / DONE)["made_from"] == made_from
    return finished


def _finish(folder: Path, made_from: Mapping[str, Any]) -> None:
    """What a round gave, written last; the same whenever it was killed."""
    result, counts, mined = io.read_json(folder / "train" / "result.json"), {}, None
    if made_from["round"]:
        mined = folder / "mined" / mine.MINED
        about = io.read_json(mined.with_suffix(".json"))
        counts = {key: n for key, n in about.items() if isinstance(n, int) and key != "bytes"}
    names = ("steps", "best_step", "scores", "weights_sha256")
    found = {name: result[name] for name in names}
    found |= {"mined": counts, "mined_sha256": io.sha256(mined) if mined else None}
    io.write_json(folder / DONE, found | {"made_from": made_from})


def _summary(done: Sequence[dict[str, Any]]) -> Table:
    rows = []
    for number, each in enumerate(done):
        scores, mined = each["scores"], each["mined"]
        hard = mined.get("hard negatives", 0) / max(mined.get("queries", 0), 1)
        rows.append(
            [
                str(number),
                *(f"{scores[name]:.4f}" if name in scores else "-" for name in SHOWN),
                f"{hard:.2f}" if mined else "-",
                (each["mined_sha256"] or "-")[:12],
                each["weights_sha256"][:12],
            ]
        )
    header = ["round", *SHOWN, "mined per example", "mined file", "weights"]
    return Table("Rounds", header, rows)
