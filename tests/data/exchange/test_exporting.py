"""The stage `export`."""

import dataclasses
import json
from pathlib import Path

import pytest

from tart_jax import config
from tart_jax.data import examples
from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import exporting, formats
from tart_jax.data.exchange.records import content_id
from tart_jax.types import Document, InputError

CONFIG = str(Path(__file__).parents[3] / "configs" / "export" / "default.py")


def document(text):
    return Document(content_id("", text), text)


EXAMPLES = [
    TrainingExample("t", content_id("", q), q, (document(f"{q} is a tree"),), (), (document("x"),))
    for q in ("oak", "elm")
]


def exported(tmp_path, format, **options):
    values = {"format": format, "path": tmp_path / "train.jsonl"}
    values |= {f"options.{key}": value for key, value in options.items()}
    settings = config.load(CONFIG, [f"--config.{key}={value}" for key, value in values.items()])
    exporting.run(settings, tmp_path / "w")
    return json.loads((tmp_path / "w" / "counts.json").read_text())


@pytest.mark.parametrize(
    "format,options",
    [("tart_dual", {}), ("dpr", {}), ("tevatron", {}), ("pairs", {"num_negatives": 1}),
     ("beir", {})],
)  # fmt: skip
def test_what_is_exported_reads_back_the_same(format, options, tmp_path, capsys):
    examples.write(tmp_path / "train.jsonl", EXAMPLES)
    assert exported(tmp_path, format, **options) == {"read": 2, "written": 2, "lost": {}}
    output = tmp_path / "w" / formats.FORMATS[format].output
    back = [item.example for item in formats.reader(format)(output, task="t")]
    assert back == EXAMPLES and back != EXAMPLES[::-1]
    assert "records written" in capsys.readouterr().out


def test_scores_read_back_the_same_or_are_counted_as_lost(tmp_path):
    scored = [
        dataclasses.replace(
            example,
            scores={example.positives[0].doc_id: 7.5, example.hard_negatives[0].doc_id: -1.0},
        )
        for example in EXAMPLES
    ]
    examples.write(tmp_path / "train.jsonl", scored)
    carry, lose = set(), set()
    for name, format in formats.FORMATS.items():
        if not format.write or format.from_run:
            continue
        lost = exported(tmp_path, name)["lost"]
        back = formats.reader(name)(tmp_path / "w" / format.output, task="t")
        scores = [item.example.scores for item in back]
        if scores == [example.scores for example in scored]:
            carry.add(name)
            assert "scores of documents left out" not in lost
        else:
            lose.add(name)
            assert scores == [{}, {}] and lost["scores of documents left out"] == 2
    assert carry == {"tart_dual", "dpr", "tevatron"}
    assert lose == {"tart_full", "pairs", "beir"}


def test_losses_are_counted_and_shown(tmp_path, capsys):
    examples.write(tmp_path / "train.jsonl", EXAMPLES)
    counts = exported(tmp_path, "tart_full", negatives_per_positive=0)
    assert counts["lost"]["negatives beyond the ratio left out"] == 2
    assert "not carried: negatives beyond the ratio left out" in capsys.readouterr().out


def test_a_broken_line_leaves_nothing_behind(tmp_path):
    examples.write(tmp_path / "train.jsonl", EXAMPLES)
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write("{}\n")
    for format in ("tart_dual", "tart_full", "dpr", "tevatron", "pairs", "beir"):
        with pytest.raises(InputError, match="train.jsonl: line 3"):
            exported(tmp_path, format)
    assert [path for path in (tmp_path / "w").rglob("*") if path.is_file()] == []


def test_a_missing_setting_is_refused(tmp_path):
    with pytest.raises(InputError, match="are both needed"):
        exporting.run(config.load(CONFIG), tmp_path)
