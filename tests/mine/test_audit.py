"""The audit of mined examples: planted faults are found as often as they were planted."""

import numpy as np
import pytest

from tart_jax import config, io
from tart_jax.mine import audit, audit_page, audit_run
from tart_jax.mine.miner import Miner
from tart_jax.mine.negatives import Rules
from tart_jax.search.rerank_run import Loaded
from tart_jax.search.scorer import Meter
from tart_jax.types import InputError

# Of the planted teacher: sigmoid(3) > 0.9 > sigmoid(2).
YES, NO = 3.0, -3.0


def document(doc_id, grade, **fields):
    """The planted teacher reads the last word."""
    return {"doc_id": doc_id, "text": f"about {doc_id} {grade}", **fields}


def example(task, number, hard, unfollowing=(NO,), positive=2.0):
    """One query; hard, unfollowing: the grades of its negatives. Its two random ones are far."""
    name = f"{task}/{number}"
    return {
        "task": task,
        "query_id": name,
        "query": f"question {name}",
        "positives": [document(f"{name}/p", positive, retrieved=9.0)],
        "negatives": [document(f"{name}/r{n}", NO) for n in range(2)],
        "hard_negatives": [
            document(f"{name}/h{n}", grade, retrieved=8.0 - n) for n, grade in enumerate(hard)
        ],
        "unfollowing_negatives": [
            document(f"{name}/u{n}", grade) for n, grade in enumerate(unfollowing)
        ],
    }


def planted():
    """60 queries of two tasks: of the hard negatives 1 in 4 (news) and 1 in 8 (code) answers."""
    news = [example("news", n, [YES, NO, NO, 2.5 if n % 2 else NO]) for n in range(40)]
    code = [example("code", n, [YES if n % 2 else NO, NO, NO, NO], (YES,)) for n in range(20)]
    return [*news, *code]


class Teacher:
    max_length, meter = 64, Meter("pairs")

    def __init__(self, change=lambda grade: grade):
        self.asked = []
        self._change = change

    def score(self, pairs, /):
        self.asked.extend(pairs)
        grades = [float(text.split()[-1]) for _, text in pairs]
        return np.array([self._change(grade) for grade in grades], np.float32)


@pytest.fixture
def teach(monkeypatch):
    def install(teacher):
        loaded = Loaded(teacher, "instruction_first", "|", {"weights_sha256": "abc"})
        monkeypatch.setattr(audit_run.rerank_run, "load_scorer", lambda config: loaded)
        return teacher

    return install


def settings(mined, **options):
    words = [f"--config.{key}={value}" for key, value in ({"mined": mined} | options).items()]
    return config.load("configs/audit-mined/default.py", words)


def audited(mined, **options):
    return audit_run.audited(settings(mined, **options)).result


def written(folder, mined, **options):
    """The page."""
    audit_run.run(settings(mined, **options), folder)
    return (folder / "audit.md").read_text()


@pytest.fixture
def file(tmp_path):
    io.write_jsonl(tmp_path / "a" / "mined.jsonl", planted())
    return tmp_path / "a" / "mined.jsonl"


RESCORED = {"teacher.model": "any"}


def called(part, kind="hard"):
    return part["kinds"][kind]["called_positive"]


def test_planted_false_negatives_are_counted_by_kind_and_task(file, teach):
    teach(Teacher())
    found = audited(file, **RESCORED)["files"]["a"]
    assert [called(found["tasks"][task])["share"] for task in ("news", "code")] == [3 / 8, 1 / 8]
    assert (called(found)["count"], called(found)["of"]) == (40 + 20 + 10, 240)
    assert [called(found, kind)["count"] for kind in ("random", "unfollowing")] == [0, 20]
    above = found["tasks"]["news"]["kinds"]["hard"]["above_positive"]
    assert (above["count"], above["of"], above["queries"]) == (60, 160, 40)
    # sigmoid(2.0) is less than 0.9: the teacher does not confirm the positives.
    assert called(found, "positive")["share"] == 0.0


@pytest.mark.parametrize(
    "change", [lambda grade: -grade, lambda grade: 0.0 * grade], ids=["reversed", "undecided"]
)
def test_a_teacher_who_sees_otherwise_is_reported_otherwise(file, teach, change):
    teach(Teacher(change))
    found = audited(file, **RESCORED)["files"]["a"]
    assert called(found)["count"] != 70 and called(found, "unfollowing")["count"] != 20


def test_a_sample_estimates_what_was_planted_and_its_interval_holds_it(file, teach, tmp_path):
    teacher = teach(Teacher())
    found = audited(file, sample=30, **RESCORED)["files"]["a"]
    assert called(found)["queries"] == 30 and called(found)["of"] == 120
    assert called(found)["low"] <= 70 / 240 <= called(found)["high"]
    assert called(found)["high"] - called(found)["low"] < 0.25
    asked = {query for query, _ in teacher.asked}
    assert len(asked) == 30
    # The same queries are drawn whatever the order of the file; another seed draws others.
    io.write_jsonl(tmp_path / "b" / "mined.jsonl", reversed(planted()))
    for seed, same in ((0, True), (1, False)):
        again = teach(Teacher())
        audited(tmp_path / "b", sample=30, seed=seed, **RESCORED)
        assert ({query for query, _ in again.asked} == asked) == same


def test_documents_are_counted_per_query(tmp_path):
    rows = [example("news", n, [NO] * count) for n, count in enumerate([0, 0, 1, 3])]
    io.write_jsonl(tmp_path / "train.jsonl", rows)
    found = audited(tmp_path / "train.jsonl")["files"]["train"]
    hard = found["kinds"]["hard"]
    assert found["queries"] == 4 and found["queries_without_hard"] == 2
    counts = {key: hard[key] for key in ("documents", "mean", "least", "median", "most")}
    assert counts == {"documents": 4, "mean": 1.0, "least": 0, "median": 0, "most": 3}
    assert found["kinds"]["random"]["queries_without"] == 0


def test_scores_in_the_file_are_judged_where_no_teacher_is_given(tmp_path):
    rows = planted()
    for row in rows[::2]:
        for field in ("positives", "hard_negatives"):
            for fields in row[field]:
                fields["score"] = float(fields["text"].split()[-1])
    io.write_jsonl(tmp_path / "mined.jsonl", rows)
    result = audited(tmp_path / "mined.jsonl")
    (found,) = result["files"].values()
    # The even news have one true negative each, the even code ones none.
    assert (called(found)["count"], called(found)["of"]) == (20, 120)
    assert called(found, "random")["share"] is None and result["notes"] == []
    assert sum(found["teacher"]["counts"]["hard"]) == 120


def test_a_file_without_scores_is_not_called_free_of_false_negatives(file, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "teacher.png").write_bytes(b"of an earlier audit")
    page = written(tmp_path / "out", file)
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["retrieved.png"]
    (note,) = io.read_json(tmp_path / "out" / "audit.json")["notes"]
    assert "nothing is known of its false negatives" in note
    assert note in page and "called positive" not in page


@pytest.mark.parametrize("weights,relabel,circular", [
    ("abc", True, True), ("abc", False, False), ("other", True, False),
])  # fmt: skip
def test_a_teacher_that_judges_its_own_labels_is_told(file, teach, weights, relabel, circular):
    options = {"instructions": "", "seed": 0, "teacher": {"relabel": relabel}}
    made = {"options": options, "teacher": {"weights_sha256": weights}}
    io.write_json(file.with_suffix(".json"), made)
    teach(Teacher())
    notes = audited(file, **RESCORED)["notes"]
    assert any("by construction" in note for note in notes) == circular


def test_the_teacher_is_asked_with_the_wording_that_the_miner_drew(file, teach, tmp_path):
    table = tmp_path / "table.tsv"
    header = "task\tintent\tdomain\tunit\t" + "\t".join(f"instruction_{n}" for n in range(1, 5))
    cells = {task: [f"Find {task} {n}." for n in range(4)] for task in ("news", "code")}
    rows = [f"{task}\ta\tb\tc\t" + "\t".join(texts) for task, texts in cells.items()]
    table.write_text("\n".join([header, *rows, ""]))
    made = {"options": {"instructions": str(table), "seed": 3}, "instructions": "x"}
    io.write_json(file.with_suffix(".json"), made)
    teacher = teach(Teacher())
    assert audited(file, **RESCORED)["notes"] == []
    lines = [record for _, record in io.read_jsonl(file)]

    def asked(seed):
        miner = Miner(lambda *_: [], lambda _: {}, Rules(), table=cells, seed=seed)
        parsed = (audit.examples.parse(line, "") for line in lines)
        return {f"{miner.instruction(each)} | {each.query}" for each in parsed}

    assert {query for query, _ in teacher.asked} == asked(seed=3)
    assert {query for query, _ in teacher.asked} != asked(seed=0)
    plain = teach(Teacher())
    notes = audited(file, instructions="", **RESCORED)["notes"]
    assert "judged without" in notes[0] and all("|" not in query for query, _ in plain.asked)


def overlapping(tmp_path, rename=lambda doc_id: doc_id):
    """Another miner's file: of the four hard negatives of a query it has two, and two others."""
    rows = planted()[:50]
    for row in rows:
        for n, fields in enumerate(row["hard_negatives"]):
            fields["doc_id"] = rename(fields["doc_id"]) if n < 2 else f"{fields['doc_id']}/other"
    extra = [example("news", n, [NO]) for n in range(900, 920)]
    io.write_jsonl(tmp_path / "b" / "mined.jsonl", [*extra, *reversed(rows)])
    return tmp_path / "b"


def test_a_planted_overlap_is_found_on_the_shared_queries(file, tmp_path):
    page = written(tmp_path / "out", f"{file},{overlapping(tmp_path)}")
    (pair,) = io.read_json(tmp_path / "out" / "audit.json")["overlap"]
    counts = {key: pair[key] for key in ("a", "b", "queries", "only_a", "both", "only_b")}
    assert counts == {"a": "a", "b": "b", "queries": 50, "only_a": 100, "both": 100, "only_b": 100}
    assert pair["mean_jaccard"] == pytest.approx(2 / 6, rel=1e-12)  # one rounding
    assert {task: part["queries"] for task, part in pair["tasks"].items()} == {
        "news": 40, "code": 10,
    }  # fmt: skip
    assert "| a | 1.000 | 0.333 |" in page and "a and b: code" in page


def test_other_documents_do_not_overlap(file, tmp_path):
    (pair,) = audited(f"{file},{overlapping(tmp_path, str.upper)}")["overlap"]
    assert pair["both"] == 0 and pair["mean_jaccard"] == 0.0


def test_the_overlap_of_a_sample_estimates_that_of_all(file, tmp_path):
    thresholds = audit.Thresholds()
    options = {"thresholds": thresholds, "seed": 0, "sample": 0, "shown": 0}
    surveys = {
        name: audit.survey(audit.read(path / "mined.jsonl"), compared=30, **options)
        for name, path in (("a", file.parent), ("b", overlapping(tmp_path)))
    }
    (pair,) = audit.overlap(surveys)
    assert 0 < pair["queries"] <= 30 and pair["mean_jaccard"] == pytest.approx(2 / 6, rel=1e-12)
    (nothing,) = audit.overlap({"a": surveys["a"], "c": audit.survey([], **options)})
    assert nothing["queries"] == 0 and nothing["mean_jaccard"] is None


def test_the_most_suspicious_negatives_are_shown_first_and_their_text_stays_in_its_block(
    tmp_path, teach
):
    rows = [example("news", n, [NO, float(n), NO, NO]) for n in range(5)]
    rows[4]["hard_negatives"][1]["text"] = "```\n# not a heading\n```\n 4.0"
    rows[4]["instruction"] = "Find it."
    io.write_jsonl(tmp_path / "train.jsonl", rows)
    teach(Teacher())
    page = written(tmp_path / "out", tmp_path / "train.jsonl", read=2, **RESCORED)
    blocks = page.split("## To read")[1].split("```text\n")[1:]
    assert [block.splitlines()[0] for block in blocks] == ["[news] news/4", "[news] news/3"]
    lines = blocks[0].splitlines()
    assert lines[1:3] == ["  instruction: Find it.", "  query: question news/4"]
    assert lines[3].startswith("  positive news/4/p (teacher 2, retriever 9)")
    assert lines[4].startswith("  hard news/4/h1 (teacher 4, retriever 7): ``` # not a heading")
    assert not any(line.startswith(("```", "#")) for line in lines[:-2])


def test_the_report_has_figures_and_numbers_of_both_scores(file, teach, tmp_path):
    teach(Teacher())
    page = written(tmp_path / "out", f"{file},{overlapping(tmp_path)}", **RESCORED)
    for name in (f"{figure}.png" for figure in audit_page.FIGURES):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
        assert f"]({name})" in page
    assert "| a, hard | 60 | 240 | 29.17% [" in page  # the 70 that were planted
    found = io.read_json(tmp_path / "out" / "audit.json")["files"]["a"]
    sums = {kind: sum(counts) for kind, counts in found["retrieved"]["counts"].items()}
    assert sums == {"positive": 60, "random": 0, "hard": 240, "unfollowing": 0}
    sums = {kind: sum(counts) for kind, counts in found["teacher"]["counts"].items()}
    assert sums == {"positive": 60, "random": 120, "hard": 240, "unfollowing": 60}


@pytest.mark.parametrize(
    "options,named",
    [
        ({"mined": ""}, "examples to audit are missing"),
        ({"mined": "nowhere.jsonl"}, "mined file nowhere.jsonl does not exist"),
        ({"mined": "configs"}, "mined file configs/mined.jsonl does not exist"),
        ({"mined": "{file},{file}"}, "names a file twice"),
        ({"sample": 0}, "config.sample is 0"),
        ({"read": -1}, "config.read is -1"),
        ({"positive_above": 1.5}, "positive_above 1.5"),
        ({"teacher.normalization": "softmax"}, "'softmax' is not one of"),
        ({"teacher.kind": "oracle", "teacher.model": "any"}, "'oracle' is not one of"),
        ({"instructions": "nowhere.tsv"}, "nowhere.tsv"),
    ],
)
def test_a_mistake_is_named(file, options, named):
    options = {key: str(value).replace("{file}", str(file)) for key, value in options.items()}
    with pytest.raises(InputError, match=named):
        audited(options.pop("mined", file), **options)


@pytest.mark.parametrize("fields,named", [
    ({"retrieved": "high"}, "line 2: document 'x' has retrieved 'high'"),
    ({"retrieved": float("nan")}, "line 2: document 'x' has retrieved 'nan'"),
    ({"retrieved": True}, "has retrieved 'True'"),
    ({"score": 1e301}, "has score '1e\\+301'"),
    ({"text": 3}, "line 2: 'hard_negatives', document 0"),
])  # fmt: skip
def test_a_bad_line_is_named(tmp_path, fields, named):
    rows = [example("news", n, [NO]) for n in range(3)]
    rows[1]["hard_negatives"][0] = document("x", NO) | fields
    io.write_jsonl(tmp_path / "mined.jsonl", rows)
    with pytest.raises(InputError, match=named):
        audited(tmp_path / "mined.jsonl")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "mined.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no example"):
        audited(tmp_path)


def test_a_teacher_is_loaded_by_the_keys_of_the_miner():
    ours, miners = (
        set(config.leaves(config.load(f"configs/{stage}/default.py").teacher))
        for stage in ("audit-mined", "mine")
    )
    assert miners - ours == {"relabel", "negative_below", "positive_above"} and ours <= miners
