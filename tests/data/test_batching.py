"""Sampling as TART's, and arrays of fixed shapes."""

import collections

import numpy as np
import pytest

from tart_jax.data import batching
from tart_jax.data.batching import (
    HARD,
    PADDING,
    POSITIVE,
    RANDOM,
    UNFOLLOWING,
    Collator,
    PairCollator,
    Sampler,
)
from tart_jax.data.examples import TrainingExample
from tart_jax.data.tokenization import Tokenizer
from tart_jax.types import Document, InputError


def documents(prefix: str, count: int) -> tuple[Document, ...]:
    return tuple(Document(f"{prefix}{i}", f"{prefix} text {i}") for i in range(count))


def example(**changes) -> TrainingExample:
    fields = dict(
        task="qa",
        query_id="q1",
        query="what",
        positives=documents("p", 2),
        negatives=documents("n", 10),
        hard_negatives=documents("h", 10),
        unfollowing_negatives=documents("u", 10),
    )
    return TrainingExample(**(fields | changes))


def sampler(**changes) -> Sampler:
    options = dict(
        table={"qa": ("find it", "get it", "seek it")},
        num_negatives=4,
        hard_ratio=0.25,
        instruction_dropout=0.2,
        order="instruction_first",
        separator="[SEP]",
    )
    return Sampler(**(options | changes))


def rows(sample: Sampler, of: TrainingExample, count: int = 4000) -> list[batching.Row]:
    return [sample(of, np.random.default_rng(seed)) for seed in range(count)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] what find it get seek text p n h u 0 1 2 3 4".split()
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return Tokenizer.load(folder)


def collator(tokenizer: Tokenizer, **changes) -> Collator:
    options = dict(
        num_negatives=4, query_length=8, document_length=6, duplicates="id", known_positives=3
    )
    return Collator(tokenizer, **(options | changes))


def test_each_negative_is_hard_or_unfollowing_with_the_given_probability():
    sampled = rows(sampler(), example())
    kinds = collections.Counter(kind for row in sampled for kind in row.kinds[1:])
    assert sum(kinds.values()) == 4 * len(sampled)
    # 16,000 draws at 0.25: a standard deviation is 0.0034, the bound four of them.
    assert (kinds[HARD] + kinds[UNFOLLOWING]) / 16_000 == pytest.approx(0.25, abs=0.014)
    assert kinds[HARD] / (kinds[HARD] + kinds[UNFOLLOWING]) == pytest.approx(0.5, abs=0.04)
    counts = collections.Counter(sum(k in (HARD, UNFOLLOWING) for k in r.kinds) for r in sampled)
    assert counts[0] / len(sampled) == pytest.approx(0.75**4, abs=0.03)  # binomial, not fixed


def test_every_positive_and_every_wording_is_drawn_equally_often():
    sampled = rows(sampler(), example())
    first = collections.Counter(row.documents[0].doc_id for row in sampled)
    assert first["p0"] / len(sampled) == pytest.approx(0.5, abs=0.035)
    texts = collections.Counter(row.query for row in sampled)
    assert texts["what"] / len(sampled) == pytest.approx(0.2, abs=0.03)  # instruction dropout
    for wording in ("find it", "get it", "seek it"):
        assert texts[f"{wording} [SEP] what"] / len(sampled) == pytest.approx(0.8 / 3, abs=0.03)


def test_negatives_are_drawn_without_replacement():
    for row in rows(sampler(hard_ratio=0.5), example(), 50):
        assert len({document.doc_id for document in row.documents}) == 5


def test_hard_negatives_that_do_not_exist_are_replaced_by_random_ones():
    few = example(hard_negatives=documents("h", 1), unfollowing_negatives=())
    for row in rows(sampler(hard_ratio=1.0), few, 20):
        assert sorted(row.kinds) == [POSITIVE, RANDOM, RANDOM, RANDOM, HARD]


def drawn_without_a_cap(of: TrainingExample, seed: int) -> list[str]:
    """What four negatives were drawn at ratio 0.5 before there was a cap, said again."""
    rng = np.random.default_rng(seed)
    positive = of.positives[rng.integers(2)]
    count = rng.binomial(4, 0.5)
    pool = of.hard_negatives + of.unfollowing_negatives
    hard = [pool[i] for i in rng.permutation(20)[:count]]
    plain = [of.negatives[i] for i in rng.permutation(10)[: 4 - len(hard)]]
    return [document.doc_id for document in (positive, *plain, *hard)]


def test_without_a_cap_or_under_it_the_draws_are_those_of_ever():
    free, high, low = (
        rows(sampler(hard_ratio=0.5, unfollowing_cap=cap), example(), 100) for cap in (None, 4, 1)
    )
    wanted = [drawn_without_a_cap(example(), seed) for seed in range(100)]
    assert [[document.doc_id for document in row.documents] for row in free] == wanted
    assert free == high != low
    changed = [one for one, other in zip(free, low, strict=True) if one != other]
    assert all(row.kinds.count(UNFOLLOWING) > 1 for row in changed)


@pytest.mark.parametrize("cap", [0, 1, 2])
def test_hard_negatives_take_the_place_of_unfollowing_ones_over_the_cap(cap):
    free = rows(sampler(hard_ratio=0.5), example(), 200)
    capped = rows(sampler(hard_ratio=0.5, unfollowing_cap=cap), example(), 200)
    for before, after in zip(free, capped, strict=True):
        assert after.kinds.count(UNFOLLOWING) == min(cap, before.kinds.count(UNFOLLOWING))
        assert after.kinds.count(RANDOM) == before.kinds.count(RANDOM)
        assert len({document.doc_id for document in after.documents}) == 5
    assert max(row.kinds.count(UNFOLLOWING) for row in free) == 4


def test_random_negatives_take_the_place_of_what_the_cap_and_the_hard_ones_leave():
    few = example(hard_negatives=documents("h", 1))
    for row in rows(sampler(hard_ratio=1.0, unfollowing_cap=1), few, 20):
        assert sorted(row.kinds) == [POSITIVE, RANDOM, RANDOM, HARD, UNFOLLOWING]


def test_the_examples_own_instruction_wins_over_the_table():
    own = rows(sampler(instruction_dropout=0.0), example(instruction="own"), 20)
    assert {row.query for row in own} == {"own [SEP] what"}
    none = rows(sampler(instruction_dropout=0.0), example(instruction=""), 20)
    assert {row.query for row in none} == {"what"}
    assert {row.query for row in rows(sampler(table={}), example(), 20)} == {"what"}


def test_a_task_without_a_row_is_refused_by_name():
    with pytest.raises(InputError, match="no row for the task 'code' of query 'q1'"):
        sampler()(example(task="code"), np.random.default_rng(0))


def test_shapes_are_fixed_and_missing_negatives_are_padding(tokenizer):
    few = example(negatives=documents("n", 1), hard_negatives=(), unfollowing_negatives=())
    sampled = [sampler()(of, np.random.default_rng(0)) for of in (example(), few)]
    batch = collator(tokenizer)(sampled)
    shapes = {name: (value.shape, value.dtype.name) for name, value in batch.items()}
    assert shapes == {
        "query_tokens": ((2, 8), "int32"),
        "query_mask": ((2, 8), "bool"),
        "document_tokens": ((2, 5, 6), "int32"),
        "document_mask": ((2, 5, 6), "bool"),
        "document_valid": ((2, 5), "bool"),
        "document_kind": ((2, 5), "int8"),
        "document_score": ((2, 5), "float32"),
        "document_hash": ((2, 5, 2), "uint32"),
        "positive_hash": ((2, 3, 2), "uint32"),
    }
    assert batch["document_valid"].tolist() == [[True] * 5, [True, True, False, False, False]]
    assert batch["document_kind"][1].tolist() == [POSITIVE, RANDOM, PADDING, PADDING, PADDING]
    assert batch["document_mask"].any(-1).all()  # padding is the empty text, [CLS] [SEP]
    assert batch["document_mask"][1, 2].sum() == 2


def test_the_instruction_and_the_separator_are_in_the_tokens(tokenizer):
    row = sampler(instruction_dropout=0.0, table={"qa": ("find it",)})
    batch = collator(tokenizer)([row(example(), np.random.default_rng(0))])
    text = tokenizer.decode(batch["query_tokens"][0][batch["query_mask"][0]])
    assert text == "[CLS] find it [SEP] what [SEP]"


def test_known_positives_are_all_there_and_the_sampled_one_fills_the_rest(tokenizer):
    row = sampler()(example(), np.random.default_rng(0))
    batch = collator(tokenizer)([row])
    own, other, filled = batch["positive_hash"][0]
    assert (own == batch["document_hash"][0, 0]).all() and (filled == own).all()
    assert (other == batching.hash_of(row.positives[1], "id")).all()
    assert (own != other).any()


def test_equal_texts_under_other_ids_share_the_text_hash_only():
    one, two = Document("a", "Some  Text"), Document("b", "some text ")
    for how, same in (("id", False), ("text", True)):
        assert (batching.hash_of(one, how) == batching.hash_of(two, how)).all() == same


def test_without_duplicate_masking_no_hash_ever_matches(tokenizer):
    batch = collator(tokenizer, duplicates="none")([sampler()(example(), np.random.default_rng(0))])
    assert (batch["document_hash"] == 0).all() and (batch["positive_hash"] == 1).all()


def test_a_row_depends_on_its_generator_alone():
    one, two, other = (sampler()(example(), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert one == two != other


def test_a_teachers_scores_follow_their_documents(tokenizer):
    scores = {"p0": 3.0, "p1": 4.0, "n1": 0.0, "h2": -2.5}
    sampled = rows(sampler(), example(scores=scores), 50)
    batches = (collator(tokenizer)(sampled), pair_collator(tokenizer)(sampled))
    for batch in batches:
        assert batch["document_score"].shape == (50, 5)
        for row, found in zip(sampled, batch["document_score"], strict=True):
            wanted = [scores.get(document.doc_id, np.nan) for document in row.documents]
            np.testing.assert_array_equal(found, np.float32(wanted))
        assert np.isnan(batch["document_score"]).any()
        assert set(batch["document_score"][:, 0]) == {3.0, 4.0}


def pair_collator(tokenizer: Tokenizer, **changes) -> PairCollator:
    return PairCollator(tokenizer, **(dict(num_negatives=4, pair_length=12, start=None) | changes))


def test_pairs_have_fixed_shapes_and_labels_by_kind(tokenizer):
    few = example(negatives=documents("n", 1), hard_negatives=(), unfollowing_negatives=())
    sampled = [sampler()(of, np.random.default_rng(0)) for of in (example(), few)]
    batch = pair_collator(tokenizer)(sampled)
    shapes = {name: (value.shape, value.dtype.name) for name, value in batch.items()}
    assert shapes == {
        "pair_tokens": ((2, 5, 12), "int32"),
        "pair_mask": ((2, 5, 12), "bool"),
        "pair_types": ((2, 5, 12), "int32"),
        "document_valid": ((2, 5), "bool"),
        "document_kind": ((2, 5), "int8"),
        "document_score": ((2, 5), "float32"),
    }
    assert batch["document_kind"][:, 0].tolist() == [POSITIVE, POSITIVE]
    assert batch["document_kind"][1].tolist() == [POSITIVE, RANDOM, PADDING, PADDING, PADDING]
    assert batch["document_valid"][1].tolist() == [True, True, False, False, False]
    assert batch["pair_mask"][1, 2].sum() == 3  # [CLS] [SEP] [SEP]: padding is two empty texts


def text_of(tokenizer: Tokenizer, batch, row: int, place: int) -> str:
    return tokenizer.decode(batch["pair_tokens"][row, place][batch["pair_mask"][row, place]])


def test_a_pair_is_the_instruction_the_query_and_the_document(tokenizer):
    sample = sampler(instruction_dropout=0.0, table={"qa": ("find it",)}, num_negatives=0)
    titled = example(positives=(Document("p0", "text 1", "get"),))
    row = sample(titled, np.random.default_rng(0))
    batch = pair_collator(tokenizer, num_negatives=0)([row])
    assert text_of(tokenizer, batch, 0, 0) == "[CLS] find it [SEP] what [SEP] get text 1 [SEP]"
    # Written-out separators are part of the first text, so their type is 0.
    assert batch["pair_types"][0, 0].tolist() == [0] * 6 + [1] * 4 + [0] * 2
    started = pair_collator(tokenizer, num_negatives=0, start=3)([row])
    text = text_of(tokenizer, started, 0, 0)
    assert text == "[SEP] [CLS] find it [SEP] what [SEP] get text 1 [SEP]"
    assert started["pair_types"][0, 0].tolist() == [0] * 7 + [1] * 4 + [0]


def test_the_longer_text_of_a_pair_is_cut_first(tokenizer):
    sample = sampler(table={}, num_negatives=0)
    long = example(positives=(Document("p0", "text 1 2 3 4 text 1 2 3 4"),), query="what get find")
    row = sample(long, np.random.default_rng(0))
    batch = pair_collator(tokenizer, num_negatives=0, pair_length=9)([row])
    assert text_of(tokenizer, batch, 0, 0) == "[CLS] what get find [SEP] text 1 2 [SEP]"
    row = sample(long, np.random.default_rng(0))
    shorter = pair_collator(tokenizer, num_negatives=0, pair_length=9, start=2)([row])
    assert shorter["pair_mask"][0, 0].sum() == 9  # the start token counts
    with pytest.raises(InputError, match="max_length 4 leaves no room"):
        pair_collator(tokenizer, pair_length=4)
