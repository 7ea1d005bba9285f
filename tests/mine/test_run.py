"""The stage `mine`: what it writes, that it keeps its rules, how it resumes, what it refuses."""

import json
import subprocess
import sys

import pytest

from tart_jax import io
from tart_jax.data import examples
from tart_jax.mine.run import run
from tart_jax.types import InputError
from tests.kills import kill_and_resume
from tests.mine.conftest import settings, text


def mined(folder):
    return {example.query_id: example for example in examples.read(folder / "mined.jsonl")}


def test_every_example_gets_near_documents_that_do_not_answer_it(folder):
    run(settings(folder), folder / "out")
    found = mined(folder / "out")
    assert len(found) == 24
    for example in found.values():
        own = {document.doc_id for document in example.positives}
        hard = [document.doc_id for document in example.hard_negatives]
        assert 0 < len(hard) <= 4 and not own & set(hard) and len(set(hard)) == len(hard)
        assert all(doc_id.startswith(example.task) for doc_id in hard)
    first = io.read_jsonl(folder / "out" / "mined.jsonl")
    scores = [d["retrieved"] for _, record in first for d in record["hard_negatives"]]
    assert scores and all(score > 0 for score in scores)


def test_other_kinds_come_from_their_corpora_and_stay_within_their_share(folder):
    run(settings(folder), folder / "out")
    for example in mined(folder / "out").values():
        wrong = [document.doc_id for document in example.unfollowing_negatives]
        others = len(example.negatives) + len(example.hard_negatives)
        assert len(wrong) <= 0.2 * (others + len(wrong))
        assert all(doc_id.startswith("code/") for doc_id in wrong)
        assert (example.task == "news") == bool(wrong)


def test_kept_ones_of_other_kinds_count_in_the_share_and_stand_once(folder):
    run(settings(folder), folder / "out")
    again = {"examples": folder / "out" / "mined.jsonl", "keep": True, "hard.count": 8}
    run(settings(folder, **again), folder / "more")
    grown = 0
    for query_id, example in mined(folder / "more").items():
        wrong = [document.doc_id for document in example.unfollowing_negatives]
        others = len(example.negatives) + len(example.hard_negatives)
        assert len(set(wrong)) == len(wrong) <= 0.2 * (others + len(wrong))
        grown += len(wrong) - len(mined(folder / "out")[query_id].unfollowing_negatives)
    assert grown > 0


def test_a_pair_of_kinds_has_a_limit(folder):
    run(settings(folder, **{"unfollowing.per_pair": 7}), folder / "out")
    assert sum(len(e.unfollowing_negatives) for e in mined(folder / "out").values()) == 7


def test_margins_of_a_score_leave_nothing_above_the_positive(folder):
    run(settings(folder, **{"hard.relative_margin": 0.5, "hard.count": 30}), folder / "out")
    best = {}
    for _, record in io.read_jsonl(folder / "out" / "mined.jsonl"):
        positive = record["positives"][0]["retrieved"]
        best[record["query_id"]] = max(
            (d["retrieved"] / positive for d in record["hard_negatives"]), default=0.0
        )
    assert max(best.values()) <= 0.5
    run(settings(folder, **{"hard.count": 30}), folder / "free")
    records = [record for _, record in io.read_jsonl(folder / "free" / "mined.jsonl")]
    assert any(
        d["retrieved"] > 0.5 * r["positives"][0]["retrieved"]
        for r in records
        for d in r["hard_negatives"]
    )


def test_held_out_texts_are_never_mined(folder):
    held = folder / "held" / "news"
    io.write_jsonl(held / "corpus.jsonl", [{"_id": "x", "title": "", "text": text("news", 10)}])
    io.write_jsonl(held / "queries.jsonl", [{"_id": "q", "text": "something else"}])
    io.write_qrels(held / "qrels" / "test.tsv", {"q": {"x": 1}})
    options = {"hard.count": 30}
    run(settings(folder, **options), folder / "free")
    run(settings(folder, exclude=folder / "held", **options), folder / "out")

    def has(name):
        negatives = [d for e in mined(folder / name).values() for d in e.hard_negatives]
        return any(document.doc_id == "news/10" for document in negatives)

    assert has("free") and not has("out")


def test_no_hard_negative_holds_an_answer_unless_told_so(folder):
    path = folder / "train" / "news.jsonl"
    rows = [r | {"answers": ["Cloud", "no such thing"]} for _, r in io.read_jsonl(path)]
    io.write_jsonl(path, rows)
    options = {"hard.count": 30, "unfollowing.table": ""}
    run(settings(folder, **options), folder / "checked")
    run(settings(folder, **options, **{"hard.answer_checked": False}), folder / "free")

    def holding(name):
        negatives = [d for e in mined(folder / name).values() for d in e.hard_negatives]
        return {d.doc_id[:4] for d in negatives if "cloud" in d.text}

    assert holding("checked") == {"code"} and holding("free") == {"code", "news"}
    assert io.read_json(folder / "checked" / "mined.json")["holds the answer"] > 0
    assert mined(folder / "checked")["news/q3"].answers == ("Cloud", "no such thing")


@pytest.mark.parametrize("killed_at", [1, 2, 4])
def test_a_killed_miner_ends_in_the_same_file(folder, monkeypatch, killed_at):
    from tart_jax.mine.miner import Miner

    options = {"unfollowing.per_pair": 7, "hard.sampling": "random", "hard.count": 2}
    run(settings(folder, **options), folder / "whole")
    mine, calls = Miner.mine, []

    def killed(self, task, block):
        calls.append(task)
        if len(calls) > killed_at:
            raise KeyboardInterrupt
        return mine(self, task, block)

    with monkeypatch.context() as patched:
        patched.setattr(Miner, "mine", killed)
        with pytest.raises(KeyboardInterrupt):
            run(settings(folder, **options), folder / "cut")
    assert not (folder / "cut" / "mined.jsonl").exists()
    run(settings(folder, **options), folder / "cut")
    whole, cut = ((folder / n / "mined.jsonl").read_bytes() for n in ("whole", "cut"))
    assert whole == cut
    about = [io.read_json(folder / n / "mined.json") for n in ("whole", "cut")]
    assert about[0] | {"seconds": 0} == about[1] | {"seconds": 0}


def test_any_block_size_mines_the_same(folder):
    run(settings(folder, block_size=1), folder / "one")
    run(settings(folder, block_size=100), folder / "all")
    one, every = ((folder / n / "mined.jsonl").read_bytes() for n in ("one", "all"))
    assert one == every


def test_an_existing_run_and_an_index_fuse(folder):
    lines = [
        f"{task}/q{n} Q0 {task}/{(n + 7) % 30} 1 1.0 mine\n"
        for task in ("news", "code")
        for n in range(12)
    ]
    (folder / "run.trec").write_text("".join(lines))
    options = {"run": folder / "run.trec", "corpus": folder / "corpora" / "{task}"}
    run(settings(folder, **options, **{"unfollowing.table": ""}), folder / "both")
    for query_id, example in mined(folder / "both").items():
        task, number = query_id.split("/q")
        ids = [document.doc_id for document in example.hard_negatives]
        assert f"{task}/{(int(number) + 7) % 30}" in ids and len(ids) > 1


def test_a_teacher_scores_and_relabels(folder, monkeypatch):
    import numpy as np

    from tart_jax.mine import run as stage
    from tart_jax.search.rerank_run import Loaded
    from tart_jax.search.scorer import Meter

    asked = []

    class Even:
        """Even numbers answer, odd ones do not, multiples of three are unsure."""

        max_length, meter = 64, Meter("pairs")

        def score(self, pairs, /):
            asked.extend(pairs)
            numbers = [int(document.split()[-1]) for _, document in pairs]
            return np.array([0.0 if n % 3 == 0 else 5.0 if n % 2 == 0 else -5.0 for n in numbers])

    loaded = Loaded(Even(), "instruction_first", "|", {"weights_sha256": "x"})
    monkeypatch.setattr(stage.rerank_run, "load_scorer", lambda config: loaded)
    options = {"teacher.model": "any", "hard.count": 30, "unfollowing.table": ""}
    run(settings(folder, **options), folder / "out")
    dropped = 0
    for example in mined(folder / "out").values():
        number = {d.doc_id: int(d.doc_id.split("/")[1]) for f in ("positives", "hard_negatives")
                  for d in getattr(example, f)}  # fmt: skip
        hard = [number[d.doc_id] for d in example.hard_negatives]
        assert hard and all(n % 2 == 1 and n % 3 for n in hard)
        new = [number[d.doc_id] for d in example.positives[1:]]
        assert all(n % 2 == 0 and n % 3 for n in new)
        assert set(number) <= set(example.scores)
        # a random negative that the teacher calls an answer is one no more
        assert not {d.doc_id for d in example.positives} & {d.doc_id for d in example.negatives}
        dropped += 4 - len(example.negatives)
    assert dropped > 0
    assert all(query.split(" | ")[0] in {"Find news.", "Show news.", "Find code.", "Show code."}
               for query, _ in asked)  # fmt: skip
    options["teacher.relabel"] = False
    run(settings(folder, **options), folder / "soft")
    soft = mined(folder / "soft")
    assert all(len(example.positives) == 1 and example.scores for example in soft.values())


@pytest.mark.parametrize(
    "options,named",
    [
        ({"examples": ""}, "config.examples is missing"),
        ({"index": ""}, "config.index and --config.run are both missing"),
        ({"index": "", "run": "some.trec"}, "config.corpus is missing"),
        ({"hard.first_rank": 0}, "ranks 0 to 100"),
        ({"hard.sampling": "best"}, "'best' is not one of top, random"),
        ({"hard.near_duplicate": 1.5}, "near_duplicate 1.5"),
        ({"unfollowing.share": 1.0}, "share 1.0"),
        ({"unfollowing.table": "nowhere.tsv"}, "nowhere.tsv"),
        ({"block_size": 0}, "block_size 0"),
    ],
)
def test_a_mistake_is_named_before_anything_is_written(folder, options, named):
    with pytest.raises(InputError, match=named):
        run(settings(folder, **options), folder / "out")
    assert not (folder / "out" / "mined.jsonl").exists()


def test_an_unfinished_mining_of_other_options_is_refused(folder, monkeypatch):
    from tart_jax.mine.miner import Miner

    mine, calls = Miner.mine, []

    def killed(self, task, block):
        calls.append(task)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return mine(self, task, block)

    with monkeypatch.context() as patched:
        patched.setattr(Miner, "mine", killed)
        with pytest.raises(KeyboardInterrupt):
            run(settings(folder), folder / "out")
    with pytest.raises(InputError, match="unfinished mined.jsonl"):
        run(settings(folder, seed=1), folder / "out")
    state = json.loads((folder / "out" / "partial.json").read_text())
    assert state["queries"] == 5


@pytest.mark.slow
def test_a_miner_killed_by_force_three_times_ends_in_the_same_file(folder):
    rows = [row for _, row in io.read_jsonl(folder / "train" / "news.jsonl")]
    many = [row | {"query_id": f"news/{n}-{row['query_id']}"} for n in range(100) for row in rows]
    io.write_jsonl(folder / "train" / "news.jsonl", many)
    options = {"examples": folder / "train" / "news.jsonl", "index": folder / "index" / "{task}"}
    options |= {"unfollowing.table": folder / "kinds.tsv", "hard.sampling": "random"}
    options |= {"instructions": folder / "table.tsv", "block_size": 4, "hard.count": 3}
    words = [f"--config.{key}={value}" for key, value in options.items()]

    def start(out):
        command = [sys.executable, "-m", "tart_jax", "mine", f"--workdir={folder / out}", *words]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    killed = folder / "killed"
    kills = kill_and_resume(lambda: start("killed"), killed, "mined.jsonl", kills=3, after=40)
    assert kills == 3
    whole, killed = ((folder / n / "mined.jsonl").read_bytes() for n in ("whole", "killed"))
    assert whole == killed
