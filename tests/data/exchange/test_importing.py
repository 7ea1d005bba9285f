"""The stage `import`, on hand-written files and on real data."""

import gzip
import json
from pathlib import Path

import pytest

from tart_jax import config
from tart_jax.data import examples, sources
from tart_jax.data.exchange import importing
from tart_jax.types import InputError

CONFIG = str(Path(__file__).parents[3] / "configs" / "import" / "default.py")
RECORDS = [
    {"question": "nan [SEP] oak", "positive_ctxs": [{"title": "", "text": "a tree"}]},
    {"question": "find [SEP] elm", "positive_ctxs": []},
    {"question": "find [SEP] ash", "positive_ctxs": [{"title": "", "text": "a tree"}]},
]


def imported(workdir, path, format, task="t", **options):
    values = {"format": format, "path": path, "task": task}
    values |= {f"options.{key}": value for key, value in options.items()}
    settings = config.load(CONFIG, [f"--config.{key}={value}" for key, value in values.items()])
    importing.run(settings, workdir)
    return json.loads((workdir / "counts.json").read_text())


def test_examples_and_counts_are_written_and_shown(tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps(RECORDS))
    counts = imported(tmp_path / "w", tmp_path / "a.json", "tart_dual")
    assert counts == {
        "read": 3,
        "written": 2,
        "rejected": {"it has no positive document": 1},
        "first_rejected": {"it has no positive document": f"{tmp_path}/a.json: record 2"},
        "repaired": {"the instruction is 'nan': removed": 1},
    }
    read = list(examples.read(tmp_path / "w" / "train.jsonl"))
    assert [(e.query, e.instruction) for e in read] == [("oak", ""), ("ash", "find")]
    assert len(sources.open_source(tmp_path / "w" / "train.jsonl")) == 2
    shown = capsys.readouterr().out
    assert "rejected: it has no positive document" in shown and "a.json: record 2" in shown


def test_options_reach_the_format(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(RECORDS))
    counts = imported(tmp_path / "w", tmp_path / "a.json", "tart_dual", nan="reject")
    assert counts["rejected"]["the instruction is 'nan'"] == 1
    row = {"q": "oak", "p": "a tree", "n": "a bird", "m": "a cat", "z": 0}
    (tmp_path / "b.jsonl").write_text(json.dumps(row))
    named = {"query": "q", "positive": "p", "negatives": "n,m"}
    imported(tmp_path / "v", tmp_path / "b.jsonl", "pairs", **named)
    (example,) = examples.read(tmp_path / "v" / "train.jsonl")
    assert [d.text for d in example.hard_negatives] == ["a bird", "a cat"]


def test_a_broken_record_leaves_nothing_behind(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([RECORDS[0], {"question": 1}]))
    with pytest.raises(InputError, match=r"a.json: record 2 needs the field 'question'"):
        imported(tmp_path / "w", tmp_path / "a.json", "tart_dual")
    assert list((tmp_path / "w").iterdir()) == []


def test_a_file_without_any_example_is_refused_with_the_reasons(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([RECORDS[1]] * 3))
    with pytest.raises(InputError, match=r"rejected were 3 because it has no positive document"):
        imported(tmp_path / "w", tmp_path / "a.json", "dpr")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(InputError, match=r"a.json gives no example: it holds no record"):
        imported(tmp_path / "w", tmp_path / "a.json", "dpr")


@pytest.mark.parametrize("missing", ["format", "path", "task"])
def test_a_missing_setting_is_refused(missing, tmp_path):
    values = {"format": "dpr", "path": "a.json", "task": "t"} | {missing: ""}
    with pytest.raises(InputError, match="are all needed"):
        imported(tmp_path, **{"format": values["format"], "path": values["path"],
                              "task": values["task"]})  # fmt: skip


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(InputError, match="no.json does not exist"):
        imported(tmp_path, tmp_path / "no.json", "dpr")


def test_real_hotpotqa_in_dpr_form(test_data, tmp_path):
    path = test_data / "multitask-derived" / "hotpotqa-pool" / "dpr_format.json.gz"
    counts = imported(tmp_path, path, "dpr", "hotpotqa")
    assert (counts["read"], counts["written"], counts["rejected"]) == (251, 251, {})
    raw = json.loads(gzip.decompress(path.read_bytes()))
    for record, example in zip(raw, examples.read(tmp_path / "train.jsonl"), strict=True):
        assert example.query == record["question"]
        assert [d.text for d in example.positives] == [c["text"] for c in record["positive_ctxs"]]
        assert len(example.hard_negatives) == len(record["hard_negative_ctxs"])


def test_real_hotpotqa_in_its_own_form_is_refused_with_line_and_field(test_data, tmp_path):
    path = test_data / "berri-pieces" / "hotpotqa_amor_dev.jsonl.gz"
    with pytest.raises(
        InputError, match=r"hotpotqa_amor_dev.jsonl.gz: line 1 needs the field 'context' with a t"
    ):
        imported(tmp_path, path, "pairs", "hotpotqa", query="question", positive="context")


def test_real_squad_as_pairs(test_data, tmp_path):
    path = test_data / "berri-pieces" / "squad_routerlens_dev.jsonl.gz"
    counts = imported(tmp_path, path, "pairs", "squad", query="question", positive="context")
    assert (counts["read"], counts["written"]) == (4330, 4330)
    ids = {d.doc_id for e in examples.read(tmp_path / "train.jsonl") for d in e.positives}
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    assert len(ids) == len({" ".join(json.loads(line)["context"].split()) for line in lines})


def test_real_questions_without_passages_are_rejected_and_counted(test_data, tmp_path):
    path = test_data / "berri-pieces" / "nq_open.dev.jsonl.gz"
    with pytest.raises(
        InputError, match=r"rejected were 3,610 because it has answers but no positive document"
    ):
        imported(tmp_path, path, "berri_folder", "nq")
    with pytest.raises(InputError, match=r"nq_open.dev.jsonl.gz: line 1 needs the field 'context'"):
        imported(tmp_path, path, "pairs", "nq", query="question", positive="context")
    assert list(tmp_path.iterdir()) == []
    counts = imported(tmp_path, path, "berri_folder", "nq", answers="document")
    assert counts["written"] == 3610
