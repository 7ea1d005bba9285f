"""The stage `rerank`: what it writes and records, how it resumes, what it refuses."""

import gzip
import json
import shutil
import subprocess
import sys

import pytest

from tart_jax import config, io
from tart_jax.evaluate import run as evaluate_stage
from tart_jax.search import rerank_run
from tart_jax.search.rerank_run import run
from tart_jax.types import InputError
from tests.kills import kill_and_resume


@pytest.fixture
def first_stage(tmp_path):
    """A run over eight queries with six hits each, and the description `search` writes."""
    folder = tmp_path / "search"
    folder.mkdir()
    rows = [
        f"q{query} Q0 d{(query * 3 + rank * 7) % 20} {rank + 1} {6 - rank} first\n"
        for query in range(8)
        for rank in range(6)
    ]
    (folder / "run.trec").write_text("".join(rows))
    io.write_json(folder / "run.json", {"factory": "Flat", "instruction": "", "separator": "[SEP]"})
    return folder


@pytest.fixture
def options(first_stage, tiny_corpus, tiny_cross):
    folder = tiny_corpus
    return {
        "run": first_stage / "run.trec",
        "corpus": folder,
        "queries": folder,
        "model": tiny_cross.source,
        "block_size": 2,
        "k": 5,
    }


def settings(file="default", **options):
    words = [f"--config.{key}={value}" for key, value in options.items()]
    return config.load(f"configs/rerank/{file}.py:quicktest", words)


def ranked(folder):
    return {
        query: [hit.doc_id for hit in hits]
        for query, hits in io.read_run(folder / "run.trec").items()
    }


def test_a_run_becomes_another_with_its_description(options, tiny_cross, tmp_path):
    run(settings(**options), tmp_path / "out")
    before, after = ranked(tmp_path / "search"), ranked(tmp_path / "out")
    assert list(after) == list(before)
    assert {query: sorted(ids) for query, ids in after.items()} == {
        query: sorted(ids[:5]) for query, ids in before.items()
    }
    assert any(after[query] != ids[:5] for query, ids in before.items())
    about = io.read_json(tmp_path / "out" / "run.json")
    assert about["weights_sha256"] == tiny_cross.weights_sha256
    assert about["run_sha256"] == io.sha256(tmp_path / "search" / "run.trec")
    assert (about["queries"], about["pairs"], about["k"], about["max_length"]) == (8, 40, 5, 48)
    assert (about["instruction"], about["order"]) == (None, "instruction_first")
    assert about["separator"] == "[SEP]" and about["kind"] == "cross_encoder"
    names = ["run.json", "run.trec"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names


def test_both_stages_formats_are_recorded(options, first_stage, tmp_path):
    told = options | {"instruction": "find it", "separator": "|", "force_format": True}
    run(settings(**told), tmp_path / "out")
    about = io.read_json(tmp_path / "out" / "run.json")
    assert about["first_stage"] == io.read_json(first_stage / "run.json")
    assert (about["instruction"], about["separator"]) == ("find it", "|")
    (first_stage / "run.json").unlink()
    run(settings(**told), tmp_path / "unknown")
    assert io.read_json(tmp_path / "unknown" / "run.json")["first_stage"] is None


def test_instructions_come_from_the_queries_the_option_or_a_table(options, tiny_corpus, tmp_path):
    (tmp_path / "table.tsv").write_text("task\tinstruction_1\tinstruction_2\nfind\tfind me\tgo\n")
    rows = [json.loads(line) for line in (tiny_corpus / "queries.jsonl").read_text().splitlines()]
    told = "".join(json.dumps(row | {"instruction": "find me"}) + "\n" for row in rows)
    (tmp_path / "told.jsonl").write_text(told)
    table = {"instructions": tmp_path / "table.tsv", "task": "find"}
    for name, added in {
        "own": {"queries": tmp_path / "told.jsonl"},
        "option": {"instruction": "find me"},
        "table": table,
        "none": {"queries": tmp_path / "told.jsonl", "instruction": ""},
        "plain": {},
    }.items():
        run(settings(**options | added), tmp_path / name)
    texts = {
        name: (tmp_path / name / "run.trec").read_text()
        for name in ("own", "option", "table", "none", "plain")
    }
    assert texts["own"] == texts["option"] == texts["table"] != texts["none"] == texts["plain"]
    for wrong, said in (
        (table | {"instruction": "x"}, "go together"),
        ({"task": "find"}, "go together"),
        (table | {"task": "lose"}, "no row for the task 'lose'"),
    ):
        with pytest.raises(InputError, match=said):
            run(settings(**options | wrong), tmp_path / "refused")


def test_the_papers_preset_wants_a_first_stage_without_instructions(options, first_stage, tmp_path):
    small = options | {"max_length": 48, "k": 5}
    about = {"factory": "Flat", "instruction": ""}
    for number, (change, plain) in enumerate(
        [({}, True), ({"instruction": "find"}, False), ({"instruction": None}, False),
         ({"instruction": None, "factory": "BM25"}, True)]
    ):  # fmt: skip
        io.write_json(first_stage / "run.json", about | change)
        out = tmp_path / str(number)
        if plain:
            run(settings("tart_full", **small), out)
        else:
            with pytest.raises(InputError, match="first stage's instruction was .*search again"):
                run(settings("tart_full", **small), out)
        assert (out / "run.trec").exists() == plain


def test_interpolation_moves_the_ranking(options, first_stage, tmp_path):
    run(settings(**options, interpolation=0.0), tmp_path / "first")
    assert ranked(tmp_path / "first") == {q: i[:5] for q, i in ranked(first_stage).items()}
    run(settings(**options, interpolation=1.0), tmp_path / "second")
    run(settings(**options), tmp_path / "alone")
    assert ranked(tmp_path / "second") == ranked(tmp_path / "alone")
    best = [hits[0].score for hits in io.read_run(tmp_path / "second" / "run.trec").values()]
    assert best == [1.0] * 8


@pytest.fixture
def interrupted(monkeypatch):
    """Makes the stage stop after some blocks, as an interrupt from the keyboard would."""

    def stop(settings, out, blocks):
        append = rerank_run.PartialFile.append

        def counted(self, *args, **options):
            if self.queries >= 2 * blocks:
                raise KeyboardInterrupt
            append(self, *args, **options)

        with monkeypatch.context() as patched:
            patched.setattr(rerank_run.PartialFile, "append", counted)
            with pytest.raises(KeyboardInterrupt):
                run(settings, out)

    return stop


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_a_resumed_run_equals_an_uninterrupted_one(options, tmp_path, interrupted, blocks):
    run(settings(**options), tmp_path / "whole")
    interrupted(settings(**options), tmp_path / "out", blocks)
    assert not (tmp_path / "out" / "run.trec").exists()
    assert len((tmp_path / "out" / "partial.trec").read_text().splitlines()) == 10 * blocks
    run(settings(**options), tmp_path / "out")
    whole, resumed = ((tmp_path / name / "run.trec").read_bytes() for name in ("whole", "out"))
    assert whole == resumed
    about = io.read_json(tmp_path / "out" / "run.json")
    assert (about["queries"], about["pairs"]) == (8, 40)


def test_finished_blocks_are_not_scored_again(options, tmp_path, interrupted):
    """The broken twin of the equality above: resuming takes what is there as it is."""
    interrupted(settings(**options), tmp_path / "out", 1)
    path = tmp_path / "out" / "partial.trec"
    path.write_text(path.read_text().replace("tart_jax", "edited!!"))
    run(settings(**options), tmp_path / "out")
    tags = [line.split()[-1] for line in (tmp_path / "out" / "run.trec").read_text().splitlines()]
    assert tags == ["edited!!"] * 10 + ["tart_jax"] * 30


@pytest.mark.parametrize(
    "change,named",
    [
        ({"k": 4}, "k"),
        ({"instruction": "find"}, "instruction"),
        ({"interpolation": 0.5}, "interpolation"),
        ({"block_size": 3}, "block_size"),
        ({"tokens_per_batch": 1024}, "tokens_per_batch"),
        ({"max_length": 40}, "max_length"),
        ({"compute_dtype": "bfloat16"}, "compute_dtype"),
        ({"tag": "other"}, "tag"),
    ],
)
def test_other_options_are_refused_on_resume(options, tmp_path, interrupted, change, named):
    interrupted(settings(**options), tmp_path / "out", 1)
    with pytest.raises(InputError, match=f"unfinished run.trec of another {named} "):
        run(settings(**options | change), tmp_path / "out")
    run(settings(**options | change, overwrite=True), tmp_path / "out")
    assert (tmp_path / "out" / "run.trec").exists()


def test_other_weights_runs_queries_and_corpora_are_refused_on_resume(
    options, tiny_corpus, make_cross, tmp_path, interrupted
):
    interrupted(settings(**options), tmp_path / "out", 1)
    first = options["run"]
    shutil.copytree(tiny_corpus, tmp_path / "copy")
    with (tmp_path / "copy" / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "new", "text": "more"}\n')
    changed = first.read_text().replace("first\n", "other\n")
    for change, named in (
        ({"model": make_cross(seed=9).source}, "weights_sha256"),
        ({"corpus": tmp_path / "copy"}, "corpus"),
        ({"queries": tiny_corpus / "queries.jsonl"}, "queries_file"),
    ):
        with pytest.raises(InputError, match=f"another {named} "):
            run(settings(**options | change), tmp_path / "out")
    first.write_text(changed)
    with pytest.raises(InputError, match="another run_sha256 "):
        run(settings(**options), tmp_path / "out")


def test_what_is_there_already_is_not_made_again(options, tmp_path, monkeypatch):
    run(settings(**options), tmp_path / "out")
    before = (tmp_path / "out" / "run.json").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(rerank_run.CrossScorer, "score", None)
        run(settings(**options), tmp_path / "out")
    assert (tmp_path / "out" / "run.json").read_bytes() == before
    run(settings(**options, instruction="find"), tmp_path / "out")
    assert io.read_json(tmp_path / "out" / "run.json")["instruction"] == "find"


def test_k_beyond_the_run_keeps_all_of_it(options, tmp_path):
    run(settings(**options | {"k": 50}), tmp_path / "out")
    assert {len(ids) for ids in ranked(tmp_path / "out").values()} == {6}


@pytest.mark.parametrize(
    "change,said",
    [
        ({"run": ""}, "--config.run is missing"),
        ({"model": ""}, "--config.model is missing"),
        ({"run": "nothing.trec"}, "run nothing.trec does not exist"),
        ({"kind": "monotx"}, "kind 'monotx' is not one of cross_encoder"),
        ({"tag": "two words"}, "should be one word"),
        ({"k": 0}, "k 0 is not positive"),
        ({"block_size": 0}, "block_size 0 is not positive"),
        ({"separator": "|"}, "trained to read .*force_format"),
        ({"max_length": 65}, "max_length 65 is more than the model's 64"),
        ({"interpolation": -0.1}, "interpolation -0.1 is not within"),
    ],
)
def test_what_cannot_be_reranked_is_refused_and_nothing_written(options, tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        run(settings(**options | change), tmp_path / "out")
    assert not (tmp_path / "out" / "run.trec").exists()


def test_an_unknown_document_an_empty_run_and_a_packed_corpus_are_refused(
    options, tiny_corpus, tmp_path
):
    with options["run"].open("a") as file:
        file.write("q8 Q0 d1 1 1 first\n")
    with pytest.raises(InputError, match="query 'q8' is not among the 8 queries"):
        run(settings(**options), tmp_path / "out")
    options["run"].write_text("q0 Q0 gone 1 1 first\n")
    with pytest.raises(InputError, match="document 'gone', a hit of query 'q0'"):
        run(settings(**options), tmp_path / "out")
    options["run"].write_text("\n")
    with pytest.raises(InputError, match="holds no hit"):
        run(settings(**options), tmp_path / "out")
    packed = tmp_path / "corpus.jsonl.gz"
    packed.write_bytes(gzip.compress((tiny_corpus / "corpus.jsonl").read_bytes()))
    with pytest.raises(InputError, match="gunzip -k"):
        run(settings(**options | {"corpus": packed}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_first_stages_run_is_never_overwritten(options, first_stage):
    before = options["run"].read_bytes()
    with pytest.raises(InputError, match="would be overwritten"):
        run(settings(**options), first_stage)
    assert options["run"].read_bytes() == before


def test_the_result_is_evaluated_as_any_run(options, tiny_corpus, tmp_path):
    run(settings(**options), tmp_path / "out")
    words = [f"--config.run={tmp_path / 'out' / 'run.trec'}"]
    words.append(f"--config.qrels={tiny_corpus / 'qrels' / 'test.tsv'}")
    scoring = config.load("configs/evaluate/default.py:quicktest", words)
    evaluate_stage.run(scoring, tmp_path / "scores")
    assert (tmp_path / "scores" / "metrics.json").exists()


@pytest.mark.slow
def test_a_reranking_killed_by_sigkill_resumes_byte_for_byte(options, tmp_path):
    lines = options["run"].read_text().splitlines()
    queries = [{"_id": f"q{number}", "text": f"find the {number}"} for number in range(800)]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    with options["run"].open("w") as file:
        for number in range(800):
            for line in lines[number % 8 * 6 :][:6]:
                file.write(f"q{number} {line.split(' ', 1)[1]}\n")
    words = options | {"queries": tmp_path / "queries.jsonl", "tokens_per_batch": 512}
    command = [sys.executable, "-m", "tart_jax", "rerank"]
    config_words = [f"--config.{key}={value}" for key, value in words.items()]

    def start(out):
        arguments = [f"--workdir={tmp_path / out}", *config_words]
        return subprocess.Popen([*command, *arguments, *config_words], stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    killed = tmp_path / "killed"
    kills = kill_and_resume(lambda: start("killed"), killed, "run.trec", kills=3, after=40)
    assert kills == 3
    whole, killed = ((tmp_path / name / "run.trec").read_bytes() for name in ("whole", "killed"))
    assert whole == killed
