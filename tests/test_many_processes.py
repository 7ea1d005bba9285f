"""Several real processes on one machine give what one gives, and end together when one is lost."""

import functools
import json
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

from tart_jax import config, io
from tart_jax.data import examples
from tart_jax.index import run as index_stage
from tests.together import HEARTBEAT, ROOT, together
from tests.train.conftest import WORDS, training_examples, write_model

pytestmark = pytest.mark.slow

RATES = {"examples_per_second", "tokens_per_second", "padding_share", "input_wait_share"}
RATES |= {"model_flops_per_second", "compilations"}
LOST = "another process was lost, or this one was killed; the same command, on any number"
KILLED = -signal.SIGKILL
# A machine that starts four processes on two cores does everything some ten times slower.
SLACK = 60  # seconds

PLAIN = """
import runpy
def get_config(arg=""):
    config = runpy.run_path("configs/train/default.py")["get_config"](arg)
    config.steps = 4
    config.model.source = "{folder}/model"
    config.data.train = "{folder}/train.jsonl"
    config.data.batch_size = 8
    config.data.num_negatives = 1
    config.data.query_length = config.data.document_length = 8
    config.optimizer.warmup_steps = 1
    config.optimizer.peak_lr = 1e-3
    config.checkpoint.save_every = 1
    config.log.every = 1
    config.log.tensorboard = False
    config.eval.directory = "{folder}/dev"
    config.eval.every = 2
    {more}
    return config
"""
# Rows of a batch over two devices, each row's tower over two; a table over the two of the rows.
SHARDED = """config.mesh.data = config.mesh.tensor = 2
    config.sharding_rules = (
        ("attention/.*kernel", (None, "tensor")), ("tokens/embedding", ("data",)),
    )"""
# Another way into the devices, tensor by tensor, and another evaluation.
CROSS = """config.objective.name = "cross_pointwise"
    config.model.new_head = True
    config.data.pair_length = 16
    config.eval.directory = ""
    config.eval.examples = config.data.train"""
# Texts in chunks and scores in blocks, each over the devices of all.
CHUNKED = """config.objective.chunk_size = config.objective.score_block = 4"""
# Factors beside kernels that lie divided, added up for the dev set and for the export.
LORA = """config.mesh.fsdp = 2
    config.lora.rank = 2"""
# So long that the processes can agree on a step to end after.
LONG = """config.steps = 2_000
    config.eval.directory = ""
    config.checkpoint.save_every = config.log.every = 1_000"""
SAME_PART = "from tart_jax import sharding; sharding.batch_part = lambda mesh: (0, 2)"
DIES_IN_TRAINING = """
import os, signal
from tart_jax.train import loop
saved = loop.save
def save(setup, checkpoints, at, *rest):
    saved(setup, checkpoints, at, *rest)
    if at == 3:
        os.kill(os.getpid(), signal.SIGKILL)
loop.save = save
"""
ASKED_TO_END = """
import os, signal
from tart_jax.train.loop import Interruption
asked = Interruption.asked
def at_the_fifth(self, step):
    if step == 5:
        os.kill(os.getpid(), signal.SIGTERM)
    return asked(self, step)
Interruption.asked = at_the_fifth
"""
DIES_IN_ENCODING = """
import os, signal
from tart_jax.encode.store import EmbeddingWriter
written = EmbeddingWriter.write
def write(self, *shard):
    written(self, *shard)
    os.kill(os.getpid(), signal.SIGKILL)
EmbeddingWriter.write = write
"""
SAME_SHARDS = "from tart_jax.encode import run; run.distributed.process = lambda: (0, 2)"


def once_started(code):
    """Code that a process runs when it has joined the others: what it imports may touch devices."""
    return f"""
from tart_jax import processes
start = processes.start
def started(**how):
    count = start(**how)
    exec({code!r}, {{}})
    return count
processes.start = started
"""


def assert_all_finish(ended):
    assert not any(done.status for done in ended), "\n".join(done.said for done in ended)


def assert_all_end(ended, victim):
    """Soon after the victim, with an error, and their last line is a sentence that says why."""
    for index, done in enumerate(ended):
        if index != victim:
            assert done.status != 0, done.said
            assert done.at - ended[victim].at < 2 * HEARTBEAT + SLACK
            assert done.last.startswith(f"tart-jax: process {index} of {len(ended)} has "), (
                done.said
            )
            assert LOST in done.last


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


# --- training


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """Config files by name over a tiny model, 32 examples and a dev set of their documents."""
    folder = tmp_path_factory.mktemp("training")
    write_model(folder / "model")
    made = training_examples()
    examples.write(folder / "train.jsonl", made)
    answers = [(f"d{i}", f"{WORDS[20 + i % 20]} {WORDS[20 + i // 20]}") for i in range(len(made))]
    io.write_jsonl(folder / "dev/corpus.jsonl", ({"_id": d, "text": t} for d, t in answers))
    asked = ({"_id": example.query_id, "text": example.query} for example in made)
    io.write_jsonl(folder / "dev/queries.jsonl", asked)
    io.write_qrels(folder / "dev/qrels/test.tsv", {f"q{i}": {f"d{i}": 1} for i in range(len(made))})
    files = {}
    kinds = {"plain": "", "sharded": SHARDED, "cross": CROSS, "long": LONG}
    for name, more in (kinds | {"chunked": CHUNKED, "lora": LORA}).items():
        files[name] = folder / f"{name}.py"
        files[name].write_text(PLAIN.format(folder=folder, more=more))
    return files


def train(configs, name, workdir, **how):
    return together(["train", f"--config={configs[name]}", f"--workdir={workdir}"], **how)


def learned(workdir):
    """Every weight, and everything that was logged but for speeds, by name."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    logged = {
        (name, number): np.float64(line[name])
        for number, line in enumerate(lines)
        for name in line
        if name not in RATES
    }
    return load_file(workdir / "model/model.safetensors") | logged


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def close(one, other):
    """rtol: the order of sums in float32. atol: weights that no gradient but rounding moves."""
    return one.keys() == other.keys() and all(
        np.allclose(one[name], other[name], rtol=1e-5, atol=1e-6) for name in one
    )


@pytest.fixture(scope="module")
def alone(configs, cache, tmp_path_factory):
    """What one process with four devices learns, by config."""

    @functools.cache
    def found(name):
        workdir = tmp_path_factory.mktemp("alone") / name
        assert_all_finish(train(configs, name, workdir, processes=1, devices=4, cache=cache))
        assert ("dev/nDCG@10", 2) in learned(workdir)
        return learned(workdir)

    return found


@pytest.fixture(scope="module")
def in_two(configs, cache, tmp_path_factory):
    """What two processes with two devices each learn of the plain config."""
    workdir = tmp_path_factory.mktemp("in_two") / "a"
    how = {"processes": 2, "devices": 2, "cache": cache}
    assert_all_finish(train(configs, "plain", workdir, **how))
    return learned(workdir)


def test_two_processes_learn_what_one_does(alone, in_two):
    assert close(in_two, alone("plain"))


def test_four_processes_learn_what_two_do_bit_for_bit(configs, in_two, cache, tmp_path):
    assert_all_finish(train(configs, "plain", tmp_path / "a", processes=4, cache=cache))
    assert same(learned(tmp_path / "a"), in_two)


def test_parameters_divided_over_processes_are_learned_bit_for_bit(configs, alone, cache, tmp_path):
    """Bits: gradients are sums over two rows of devices, and two numbers add up in one way."""
    assert_all_finish(train(configs, "sharded", tmp_path / "a", processes=4, cache=cache))
    assert same(learned(tmp_path / "a"), alone("sharded"))


@pytest.mark.parametrize("name", ["cross", "chunked", "lora"])
def test_two_processes_learn_in_every_form_what_one_does(configs, alone, cache, tmp_path, name):
    how = {"processes": 2, "devices": 2, "cache": cache}
    assert_all_finish(train(configs, name, tmp_path / "a", **how))
    assert close(learned(tmp_path / "a"), alone(name))


def test_the_comparison_fails_where_two_processes_read_the_same_rows(
    configs, alone, cache, tmp_path
):
    """The broken twin."""
    patches = dict.fromkeys(range(2), once_started(SAME_PART))
    how = {"processes": 2, "devices": 2, "cache": cache, "patches": patches}
    assert_all_finish(train(configs, "plain", tmp_path / "a", **how))
    assert not close(learned(tmp_path / "a"), alone("plain"))


@pytest.mark.parametrize("processes, victim, then", [(2, 1, 4), (4, 0, 1)])
def test_a_killed_training_ends_everywhere_and_goes_on_in_another_number_of_processes(
    configs, alone, cache, tmp_path, processes, victim, then
):
    how = {"processes": processes, "devices": 4 // processes, "cache": cache}
    patches = {victim: once_started(DIES_IN_TRAINING)}
    ended = train(configs, "plain", tmp_path / "a", patches=patches, **how)
    assert ended[victim].status == KILLED
    assert_all_end(ended, victim)
    assert not (tmp_path / "a/result.json").exists()
    how |= {"processes": then, "devices": 4 // then}
    again = train(configs, "plain", tmp_path / "a", **how)
    assert_all_finish(again)
    assert "checkpoints after step" in again[0].said
    assert close(learned(tmp_path / "a"), alone("plain"))


def test_sigterm_to_one_process_makes_all_save_the_same_step_and_end(configs, cache, tmp_path):
    patches = {1: once_started(ASKED_TO_END)}
    how = {"processes": 2, "devices": 2, "cache": cache, "patches": patches}
    ended = train(configs, "long", tmp_path / "a", **how)
    assert [done.status for done in ended] == [128 + signal.SIGTERM] * 2, ended[0].said
    (saved,) = (int(path.name) for path in (tmp_path / "a/checkpoints").iterdir())
    assert 5 < saved < 2_000
    for done in ended:
        said = f"tart-jax: SIGTERM ended the training after step {saved}, which is saved"
        assert done.last.startswith(said), done.said


# --- encoding and search


@pytest.fixture(scope="module")
def encode_words(tiny_model, tiny_corpus):
    options = ["--config.tokens_per_batch=256", "--config.shard_size=3"]
    return ["encode", f"--config.model={tiny_model}", f"--config.corpus={tiny_corpus}", *options]


def written(folder):
    records = {"config.json", "environment.json"}
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name not in records}


@pytest.fixture(scope="module")
def embeddings(encode_words, cache, tmp_path_factory):
    """What one process with one device encodes."""
    folder = tmp_path_factory.mktemp("embeddings")
    assert_all_finish(together([*encode_words, f"--workdir={folder}"], processes=1, cache=cache))
    return folder


# Bits: a shard is computed by one process, on as many devices as the one process had.
@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_encode_what_one_does_bit_for_bit(
    encode_words, embeddings, cache, tmp_path, processes
):
    words = [*encode_words, f"--workdir={tmp_path}"]
    assert_all_finish(together(words, processes=processes, cache=cache))
    assert written(tmp_path) == written(embeddings)


def test_a_shard_that_no_process_took_is_named(encode_words, cache, tmp_path):
    """The broken twin: both take the shards of the first."""
    patches = dict.fromkeys(range(2), once_started(SAME_SHARDS))
    words = [*encode_words, f"--workdir={tmp_path}"]
    ended = together(words, processes=2, cache=cache, patches=patches)
    assert ended[0].status == 2 and "embeddings-00001-of-00007.npy is not there" in ended[0].last
    assert not io.read_json(tmp_path / "manifest.json")["complete"]


@pytest.mark.parametrize("processes, victim, then", [(2, 0, 4), (4, 3, 1)])
def test_a_killed_encoding_ends_everywhere_and_goes_on_in_another_number_of_processes(
    encode_words, embeddings, cache, tmp_path, processes, victim, then
):
    words = [*encode_words, f"--workdir={tmp_path}"]
    patches = {victim: once_started(DIES_IN_ENCODING)}
    ended = together(words, processes=processes, cache=cache, patches=patches)
    assert ended[victim].status == KILLED
    assert_all_end(ended, victim)
    assert not io.read_json(tmp_path / "manifest.json")["complete"]
    assert_all_finish(together(words, processes=then, cache=cache))
    assert written(tmp_path) == written(embeddings)


@pytest.fixture(scope="module")
def indexes(embeddings, tmp_path_factory):
    """Index folders by factory."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("Flat", "Exact")}
    for name, folder in folders.items():
        words = [f"--config.embeddings={embeddings}", f"--config.factory={name}"]
        index_stage.run(config.load(str(ROOT / "configs/index/default.py"), words), folder)
    return folders


def search_words(index, model, *more):
    options = ["--config.k=5", "--config.tokens_per_batch=256", "--config.block_size=2"]
    return ["search", f"--config.index={index}", f"--config.model={model}", *options, *more]


# FAISS: each process answers whole blocks of queries, as one would. Exact: all devices answer each.
@pytest.mark.parametrize("factory", ["Flat", "Exact"])
def test_several_processes_find_what_one_finds(
    indexes, tiny_model, tiny_corpus, cache, tmp_path, factory
):
    runs = {}
    for processes in (1, 2, 4):
        folder = tmp_path / str(processes)
        more = [f"--config.queries={tiny_corpus}", f"--workdir={folder}"]
        words = search_words(indexes[factory], tiny_model, *more)
        assert_all_finish(together(words, processes=processes, cache=cache))
        assert set(written(folder)) == {"run.trec", "run.json"}
        runs[processes] = io.read_run(folder / "run.trec")
        assert [len(hits) for hits in runs[processes].values()] == [5] * 8
    if factory == "Flat":  # bit for bit
        assert runs[1] == runs[2] == runs[4]
    for query_id, hits in runs[1].items():
        for other in (runs[2][query_id], runs[4][query_id]):
            assert [hit.doc_id for hit in other] == [hit.doc_id for hit in hits]
            # Queries are encoded in other shapes, in which float32 sums have another order.
            np.testing.assert_allclose([h.score for h in other], [h.score for h in hits], rtol=1e-5)


# --- refusals


def test_what_runs_in_one_process_only_says_so(tmp_path, cache):
    for words, said in (
        (["index", f"--workdir={tmp_path}"], "tart-jax index runs in one process, not in 2"),
        (["search", "--config.index=i"], "--config.queries is missing: several processes share"),
    ):
        for done in together(words, processes=2, cache=cache):
            assert done.status == 2 and done.last.startswith(f"tart-jax: {said}"), done.said
    assert not list(tmp_path.iterdir())


def test_a_workdir_that_is_not_shared_is_refused_by_all(encode_words, cache, tmp_path):
    more = {index: [f"--workdir={tmp_path / str(index)}"] for index in range(2)}
    for done in together(encode_words, processes=2, cache=cache, more=more):
        assert done.status == 2, done.said
        assert "process 1 does not see the file" in done.last and "share" in done.last
    assert not list(tmp_path.iterdir())


def test_where_one_alone_is_refused_the_others_end_too(encode_words, cache, tmp_path):
    words = [*encode_words, f"--workdir={tmp_path}"]
    more = {1: ["--config.document_length=1000"]}
    ended = together(words, processes=2, cache=cache, more=more)
    assert ended[1].status == 2 and "document_length 1000" in ended[1].last
    assert_all_end(ended, victim=1)


def test_processes_that_do_not_come_are_not_waited_for_for_ever(encode_words, cache, tmp_path):
    words = [*encode_words, f"--workdir={tmp_path}"]
    patches = {0: "from tart_jax import processes; processes.START_SECONDS = 3"}
    (ended,) = together(words, processes=2, started=1, cache=cache, patches=patches)
    assert ended.status != 0 and "did not all come within 3 s" in ended.last
    assert not list(tmp_path.iterdir())
