"""Batches are a function of the step: by random access, by iteration, and cut over processes."""

import itertools

import numpy as np
import pytest

from tart_jax.data.batching import Collator, Sampler
from tart_jax.data.examples import TrainingExample
from tart_jax.data.mixture import mix
from tart_jax.data.pipeline import Batches
from tart_jax.data.tokenization import Tokenizer
from tart_jax.types import Document, InputError


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    words = [*"[PAD] [UNK] [CLS] [SEP] [MASK]".split(), *map(str, range(100))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return Tokenizer.load(folder)


class Source(list):
    fingerprint = "0"
    tasks: dict[str, int] = {}


def make(tokenizer, *, count=20, batch_size=8, seed=0, index=0, processes=1) -> Batches:
    source = Source(
        TrainingExample(
            "t",
            f"q{i}",
            str(i),
            (Document(f"p{i}", str(i)),),
            tuple(Document(f"n{i}-{j}", str(j)) for j in range(9)),
        )
        for i in range(count)
    )
    sample = Sampler({}, 2, 0.1, 0.0, "instruction_first", "[SEP]")
    collate = Collator(
        tokenizer,
        num_negatives=2,
        query_length=4,
        document_length=4,
        duplicates="id",
        known_positives=1,
    )
    return Batches(
        mix({"source": source}, mixing="proportional"), sample, collate,
        batch_size=batch_size, seed=seed, process_index=index, process_count=processes,
    )  # fmt: skip


def equal(one, two) -> bool:
    return all(same(one[name], two[name]) for name in one)


def same(one, two) -> bool:
    return np.array_equal(one, two, equal_nan=True)  # NaN: a document without a teacher's score


def test_iteration_equals_random_access_from_any_step(tokenizer):
    batches = make(tokenizer)
    for start in (0, 3):
        for offset, batch in enumerate(itertools.islice(batches.iterate(start), 4)):
            assert equal(batch, batches[start + offset])
    assert not equal(batches[0], batches[1])  # the twin: other steps are other batches


def test_a_batch_depends_on_seed_and_step_alone(tokenizer):
    assert equal(make(tokenizer)[5], make(tokenizer)[5])
    assert not equal(make(tokenizer)[5], make(tokenizer, seed=1)[5])


def test_one_process_reads_what_four_read_together(tokenizer):
    parts = [make(tokenizer, index=index, processes=4) for index in range(4)]
    for step in (0, 1, 7):
        whole = make(tokenizer)[step]
        for name, value in whole.items():
            assert same(value, np.concatenate([part[step][name] for part in parts]))
        assert not np.array_equal(
            whole["query_tokens"], np.concatenate([p[step]["query_tokens"] for p in parts[::-1]])
        )


def test_every_example_is_seen_once_an_epoch_and_in_another_order_in_the_next(tokenizer):
    batches = make(tokenizer, count=16)
    queries = np.concatenate([batches[step]["query_tokens"][:, 1] for step in range(4)])
    assert len(set(queries[:16].tolist())) == len(set(queries[16:].tolist())) == 16
    assert (queries[:16] != queries[16:]).any()


def test_negatives_are_drawn_anew_in_every_epoch(tokenizer):
    batches = make(tokenizer, count=8)
    first, second = (
        {
            int(query[1]): sorted(documents[1:, 1].tolist())
            for query, documents in zip(b["query_tokens"], b["document_tokens"], strict=True)
        }
        for b in (batches[0], batches[1])
    )
    assert first.keys() == second.keys() and first != second


@pytest.mark.slow
def test_loader_processes_give_the_same_batches(tokenizer):
    batches = make(tokenizer)
    for step, batch in zip(range(3, 7), batches.iterate(3, workers=2), strict=False):
        assert equal(batch, batches[step])


def test_too_few_examples_are_refused_with_the_numbers(tokenizer):
    with pytest.raises(InputError, match="20 examples, too few for one batch of 21"):
        make(tokenizer, batch_size=21)
    with pytest.raises(InputError, match="batch_size 8 does not divide over 3 processes"):
        make(tokenizer, processes=3)
