"""The stage `sweep`: what it trains, what it compares, that it does nothing twice."""

import pytest

from tart_jax import config, io
from tart_jax.report import sweep
from tart_jax.types import InputError

WORDS = ["apple", "river", "stone", "cloud", "tiger"]


@pytest.fixture(scope="module")
def world(tmp_path_factory, tiny_model):
    """A test of two tasks and training examples; one training in two variants."""
    folder = tmp_path_factory.mktemp("sweep")
    header = "task\tintent\tdomain\tunit\tinstruction_1\n"
    table = header + "".join(f"{t}\ta\tb\tc\tFind {t}.\n" for t in ("news", "code"))
    (folder / "test").mkdir()
    (folder / "test" / "instructions.tsv").write_text(table)
    rows = []
    for task in ("news", "code"):
        texts = {f"{task}/{n}": f"{WORDS[n % 5]} {WORDS[n // 5]} {task}" for n in range(25)}
        here = folder / "test" / task
        corpus = [{"_id": i, "title": "", "text": text} for i, text in texts.items()]
        io.write_jsonl(here / "corpus.jsonl", corpus)
        io.write_jsonl(
            here / "queries.jsonl",
            [{"_id": f"{task}/q{n}", "text": WORDS[n % 5]} for n in range(8)],
        )
        io.write_qrels(
            here / "qrels" / "test.tsv", {f"{task}/q{n}": {f"{task}/{n}": 1} for n in range(8)}
        )
        rows += [
            {
                "task": task,
                "query_id": i,
                "query": text,
                "positives": [{"doc_id": i, "text": text}],
                "negatives": [{"doc_id": f"{task}/0", "text": "apple apple"}],
            }
            for i, text in texts.items()
        ]
    io.write_jsonl(folder / "train.jsonl", rows)
    common = (
        f"model.source={tiny_model}; data.train={folder / 'train.jsonl'}; steps=2"
        "; optimizer.warmup_steps=1; log.every=1"
        f"; data.instructions={folder / 'test' / 'instructions.tsv'}; log.tensorboard=False"
    )
    return {
        "train": "configs/train/default.py:quicktest",
        "variants": (f"still: {common}; optimizer.peak_lr=0.0", f"moving: {common}"),
        "seeds": (0, 1),
        "test": str(folder / "test"),
        "max_queries": 5,
        "max_documents": 12,
        "resamples": 50,
    }


def run(world, workdir, **changes):
    words = [f"--config.{key}={value}" for key, value in (world | changes).items()]
    sweep.run(config.load("configs/sweep/default.py", words), workdir)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, world):
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    run(world, workdir)
    return workdir


@pytest.mark.slow
def test_each_variant_is_trained_with_each_seed_and_compared(whole):
    report = io.read_json(whole / "report.json")
    assert set(report["scores"]["closed"]) == {"still", "moving"} and report["seeds"] == [0, 1]
    still = [
        io.read_json(whole / "still" / f"seed-{seed}" / "scores-right.json") for seed in (0, 1)
    ]
    assert still[0]["scores"] == still[1]["scores"]  # it did not learn, whatever the seed
    moving = [
        io.read_json(whole / "moving" / f"seed-{seed}" / "scores-right.json") for seed in (0, 1)
    ]
    hashes = {record["made_from"]["weights_sha256"] for record in (*still, *moving)}
    assert len(hashes) == 3
    mean = sweep.over_seeds([record["scores"] for record in moving], "pooled")
    query = next(iter(mean["news"]))
    both = [record["scores"]["pooled"]["news"][query] for record in moving]
    assert mean["news"][query] == pytest.approx(sum(both) / 2)
    gain = report["minus still"]["pooled"]["moving"][0]
    ndcg = report["scores"]["pooled"]
    assert gain == pytest.approx(ndcg["moving"][0] - ndcg["still"][0])
    assert "| moving |" in (whole / "report.md").read_text()


@pytest.mark.slow
def test_the_smaller_test_keeps_judged_documents_and_is_drawn_once(whole):
    sample = io.read_json(whole / "test" / "sample.json")
    assert sample["documents"] == {"news": 12, "code": 12}
    documents = {r["_id"] for _, r in io.read_jsonl(whole / "test" / "pooled" / "corpus.jsonl")}
    for task in ("news", "code"):
        qrels = io.read_qrels(whole / "test" / task / "qrels" / "test.tsv")
        assert len(qrels) == 5 and {d for hits in qrels.values() for d in hits} <= documents


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(whole, world, monkeypatch):
    def never(*_, **__):
        raise AssertionError("done again")

    monkeypatch.setattr(sweep, "measure", never)
    monkeypatch.setattr(sweep.train.loop, "save", never)
    before = (whole / "report.json").read_bytes()
    run(world, whole)
    assert (whole / "report.json").read_bytes() == before


@pytest.mark.slow
def test_a_grid_asks_each_model_with_and_without_and_trains_none_anew(whole, world, monkeypatch):
    def never(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(sweep.train.loop, "save", never)
    run(world, whole, tested=("right", "none"))
    report = io.read_json(whole / "report.json")
    assert set(report["scores"]["pooled"]) == {
        f"{name}, asked with {condition}"
        for name in ("still", "moving")
        for condition in ("right", "none")
    }
    asked = [whole / "still" / "seed-0" / f"runs-{name}" / "news.pooled.trec"
             for name in ("right", "none")]  # fmt: skip
    assert asked[0].read_bytes() != asked[1].read_bytes()


@pytest.mark.parametrize(
    "change,named",
    [
        ({"variants": ()}, "config.variants is empty"),
        ({"variants": ("a",)}, "'a' should look like"),
        ({"variants": ("a: steps",)}, "'a: steps' should look like"),
        ({"variants": ("a: seed=1",)}, "sets seed; use config.seeds"),
        ({"variants": ("a b:", "A-b:")}, "has 'A-b' twice"),
        ({"variants": ("a: data.train=nowhere.jsonl",)}, "'nowhere.jsonl', which does not exist"),
        ({"variants": ("a: no.such=1",)}, "no.such"),
        ({"seeds": ()}, "config.seeds"),
        ({"seeds": (1, 1)}, "config.seeds"),
        ({"tasks": ("poems",)}, "'poems'"),
        ({"tested": ()}, "config.tested is empty"),
        ({"tested": ("rigth",)}, "'rigth' is not one of right"),
    ],
)
def test_a_mistake_is_named_before_the_first_training(world, tmp_path, change, named):
    with pytest.raises(InputError, match=named):
        run(world, tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()
