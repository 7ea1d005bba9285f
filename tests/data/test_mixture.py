"""Shares are as asked, batches a function of the step; nothing depends on hosts or paths."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tart_jax.data import examples
from tart_jax.data.batching import Collator, Sampler
from tart_jax.data.examples import TrainingExample
from tart_jax.data.mixture import MIXINGS, Mixture, mix, open_sources, parse_weights, reread
from tart_jax.data.pipeline import Batches
from tart_jax.data.sources import JsonlSource
from tart_jax.data.tokenization import Tokenizer
from tart_jax.types import Document, InputError


class Source(list):
    """Examples of one task in memory."""

    tasks: dict[str, int] = {}

    def __init__(self, task: str, count: int):
        super().__init__(example(task, number) for number in range(count))
        self.fingerprint = f"{task}-{count}"


def example(task: str, number: int) -> TrainingExample:
    positive = Document(f"{task}{number}", f"{task} {number}")
    return TrainingExample(task, f"{task}{number}", f"{task} {number}", (positive,))


def sources(**sizes: int) -> dict[str, Source]:
    return {task: Source(task, count) for task, count in sizes.items()}


def queries(mixture: Mixture, *, steps: range, batch_size=8, **options) -> list[list[str]]:
    """The query texts of some batches, without tokenizing anything."""
    sample = Sampler({}, 1, 0.1, 0.0, "instruction_first", "[SEP]")
    batches = Batches(
        mixture, sample, lambda rows: {"query": np.asarray([row.query for row in rows])},
        batch_size=batch_size, seed=options.pop("seed", 0), **options,
    )  # fmt: skip
    return [batches[step]["query"].tolist() for step in steps]


def shares(mixture: Mixture, batches: int = 100, **options) -> dict[str, float]:
    drawn = queries(mixture, steps=range(batches), **options)
    counts = Counter(query.split()[0] for batch in drawn for query in batch)
    return {task: count / sum(counts.values()) for task, count in counts.items()}


SIZES = {"a": 10, "b": 40, "c": 150}


@pytest.mark.parametrize(
    "options, wanted",
    [
        ({"mixing": "proportional"}, {"a": 0.05, "b": 0.2, "c": 0.75}),
        ({"mixing": "equal"}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}),
        ({"mixing": "temperature", "temperature": 1.0}, {"a": 0.05, "b": 0.2, "c": 0.75}),
        ({"mixing": "temperature", "temperature": 1e9}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}),
        ({"mixing": "downsample", "limit": 50}, {"a": 0.1, "b": 0.4, "c": 0.5}),
        (
            {"mixing": "explicit", "weights": {"a": 3.0, "b": 1.0, "c": 0.0}},
            {"a": 0.75, "b": 0.25},
        ),
        ({"mixing": "proportional", "cap": 40}, {"a": 1 / 9, "b": 4 / 9, "c": 4 / 9}),
        ({"mixing": "equal", "held_out": ("a",)}, {"b": 0.5, "c": 0.5}),
    ],
)
def test_tasks_are_drawn_at_the_shares_asked_for(options, wanted):
    mixture = mix(sources(**SIZES), **options)
    assert {c.task: pytest.approx(c.share) for c in mixture.components} == wanted
    for homogeneous in (False, True):
        found = shares(mixture, homogeneous=homogeneous)
        # Deterministic interleaving is within a row of a task's share, a shuffle about one epoch's.
        assert found == pytest.approx(wanted, abs=0.03)


def test_a_pass_over_a_proportional_mixture_holds_every_example_once():
    mixture = mix(sources(a=8, b=24), mixing="proportional")
    for epoch in range(2):
        drawn = queries(mixture, steps=range(epoch * 4, epoch * 4 + 4))
        texts = [text for batch in drawn for text in batch]
        assert len(set(texts)) == mixture.epoch == 32


def test_a_downsampled_set_is_drawn_whole_over_time():
    mixture = mix(sources(a=8, b=24), mixing="downsample", limit=8)
    assert mixture.epoch == 16
    drawn = queries(mixture, steps=range(6))  # three passes of 16: 24 of b
    seen = Counter(text for batch in drawn for text in batch)
    assert sum(text.startswith("b") for text in seen) == 24
    assert max(seen.values()) == 3  # a, once in each


def test_a_cap_takes_the_same_examples_always():
    def kept(seed: int) -> set[str]:
        (component,) = mix(sources(a=50), mixing="equal", cap=10, seed=seed).components
        return {component.examples[i].query for i in range(len(component.examples))}

    assert kept(0) == kept(0) and len(kept(0)) == 10
    assert kept(0) != kept(1)


def test_homogeneous_batches_hold_one_task_and_mixed_ones_several():
    mixture = mix(sources(**SIZES), mixing="equal")
    one = queries(mixture, steps=range(12), homogeneous=True)
    assert {len({query.split()[0] for query in batch}) for batch in one} == {1}
    several = queries(mixture, steps=range(12))
    assert {len({query.split()[0] for query in batch}) for batch in several} == {3}


mixtures = st.fixed_dictionaries(
    {
        "sizes": st.dictionaries(st.sampled_from("abcdef"), st.integers(8, 40), min_size=1),
        "mixing": st.sampled_from([name for name in MIXINGS if name != "explicit"]),
        "temperature": st.floats(0.5, 5.0),
        "cap": st.sampled_from([0, 8, 16]),
        "homogeneous": st.booleans(),
        "seed": st.integers(0, 1000),
        "step": st.integers(0, 10_000),
    }
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(mixtures)
def test_batches_are_the_same_on_four_hosts_and_after_a_resume_at_any_step(case):
    def drawn(steps: range, **host) -> list[list[str]]:
        mixture = mix(
            sources(**case["sizes"]), mixing=case["mixing"], limit=20,
            temperature=case["temperature"], cap=case["cap"], seed=case["seed"],
        )  # fmt: skip
        options = {"homogeneous": case["homogeneous"], "seed": case["seed"]}
        return queries(mixture, steps=steps, **options, **host)

    steps = range(case["step"], case["step"] + 3)
    whole = drawn(steps)
    parts = [drawn(steps, process_index=host, process_count=4) for host in range(4)]
    assert [list(itertools.chain(*rows)) for rows in zip(*parts, strict=True)] == whole
    assert drawn(range(steps[2], steps[2] + 1)) == whole[2:]
    # The twin: a mixture drawn with another seed differs.
    if sum(case["sizes"].values()) > 16:
        case = case | {"seed": case["seed"] + 1}
        assert drawn(range(0, 8)) != whole


def test_arrays_are_equal_bit_for_bit_on_one_and_four_hosts(tmp_path):
    (tmp_path / "vocab.txt").write_text(
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n" + "\n".join("abc") + "\n"
    )
    collate = Collator(
        Tokenizer.load(tmp_path), num_negatives=1, query_length=6, document_length=6,
        duplicates="text", known_positives=1,
    )  # fmt: skip
    sample = Sampler({}, 1, 0.1, 0.0, "instruction_first", "[SEP]")
    mixture = mix(sources(**SIZES), mixing="temperature", temperature=2.0)

    def batch(step: int, **host) -> dict[str, np.ndarray]:
        return Batches(mixture, sample, collate, batch_size=8, seed=3, **host)[step]

    for step in (0, 5, 1234):
        parts = [batch(step, process_index=host, process_count=4) for host in range(4)]
        for name, value in batch(step).items():
            joined = np.concatenate([part[name] for part in parts])
            np.testing.assert_array_equal(joined, value)  # NaN, for no score, equals itself


def test_a_file_of_several_tasks_is_one_component_for_each(tmp_path):
    rows = [example(task, number) for number in range(6) for task in "ab"]
    examples.write(tmp_path / "one.jsonl", rows)
    examples.write(tmp_path / "two.jsonl", [example("b", number) for number in range(10, 14)])
    mixture = mix(open_sources(str(tmp_path)), mixing="equal")
    assert {c.task: len(c.examples) for c in mixture.components} == {"a": 6, "b": 10}
    for component in mixture.components:
        tasks = {component.examples[i].task for i in range(len(component.examples))}
        assert tasks == {component.task}
    assert mixture.uninstructed == {"a", "b"}


def test_batches_do_not_depend_on_where_files_lie(tmp_path):
    for folder, names in (("x", ("1", "2")), ("y", ("2", "1"))):
        (tmp_path / folder).mkdir()
        for name, task in zip(names, "ab", strict=True):
            examples.write(
                tmp_path / folder / f"{name}.jsonl", [example(task, i) for i in range(9)]
            )
    x, y = (mix(open_sources(str(tmp_path / f)), mixing="proportional") for f in "xy")
    assert x.fingerprint == y.fingerprint
    assert queries(x, steps=range(3)) == queries(y, steps=range(3))


def test_a_single_file_keeps_its_order_and_its_fingerprint(tmp_path):
    examples.write(tmp_path / "one.jsonl", [example("ab"[i % 2], i) for i in range(10)])
    source = JsonlSource(tmp_path / "one.jsonl")
    mixture = mix({"one": source}, mixing="proportional")
    assert mixture.fingerprint == source.fingerprint
    assert mixture.together is not None
    assert [mixture.together[i] for i in range(10)] == [source[i] for i in range(10)]


@pytest.mark.parametrize("mixing", ["proportional", "equal"])
def test_examples_that_are_read_anew_come_in_the_same_order(tmp_path, mixing):
    examples.write(tmp_path / "one.jsonl", [example("ab"[i % 2], i) for i in range(20)])
    examples.write(tmp_path / "two.jsonl", [example("bc"[i % 2], 100 + i) for i in range(20)])
    before = mix(open_sources(str(tmp_path)), mixing=mixing, cap=9, held_out=("c",))
    anew = tmp_path / "anew" / "anew.jsonl"
    # Task after task, and in another order of the tasks than theirs.
    lines = [e for part in reversed(before.components) for e in part.examples]
    examples.write(anew, lines)
    after = reread(before, JsonlSource(anew))
    assert queries(before, steps=range(12)) == queries(after, steps=range(12))
    assert before.fingerprint != after.fingerprint
    if before.together is not None:  # the twin: lines in their own order would mingle otherwise
        assert [e.query for e in before.together] != [e.query for e in lines]
    examples.write(anew, lines[1:])
    with pytest.raises(InputError, match="anew.jsonl holds 8 examples of b where .* have 9"):
        reread(before, JsonlSource(anew))


def test_any_option_that_changes_the_batches_changes_the_fingerprint():
    base = {"mixing": "proportional"}
    others = [
        {"mixing": "equal"}, {"cap": 9}, {"cap": 9, "seed": 1}, {"held_out": ("a",)},
        {"mixing": "temperature", "temperature": 2.0},
        {"mixing": "temperature", "temperature": 3.0}, {"mixing": "downsample", "limit": 9},
    ]  # fmt: skip
    prints = {mix(sources(**SIZES), **(base | other)).fingerprint for other in [{}, *others]}
    prints.add(mix(sources(a=10, b=40, c=151), **base).fingerprint)
    assert len(prints) == len(others) + 2
    assert mix(sources(**SIZES), **base).fingerprint in prints


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mixing": "alphabetical"}, "'alphabetical' is not one of proportional"),
        (
            {"mixing": "equal", "held_out": ("z",)},
            "held_out names the task 'z'; the data have a, b",
        ),
        ({"mixing": "equal", "held_out": ("a", "b", "c")}, "leaves no task"),
        ({"mixing": "equal", "weights": {"a": 1.0}}, "need mixing 'explicit', not 'equal'"),
        ({"mixing": "explicit", "weights": {"a": 1.0}}, "b, c missing"),
        ({"mixing": "explicit", "weights": {"a": 1.0, "b": -1.0, "c": 1.0}}, "0 or more"),
        ({"mixing": "explicit", "weights": {"y": 1.0}}, "weights names the task 'y'"),
        ({"mixing": "downsample"}, "needs config.data.limit"),
        ({"mixing": "temperature", "temperature": 0.0}, "temperature is 0.0"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        mix(sources(**SIZES), **options)


def test_a_homogeneous_batch_larger_than_a_task_is_refused():
    with pytest.raises(InputError, match="hold 10 examples of a, too few for one batch of 16"):
        queries(
            mix(sources(**SIZES), mixing="equal"), steps=range(1), batch_size=16, homogeneous=True
        )


def test_weights_are_read_from_words_or_refused():
    assert parse_weights(("a=2", "b=0.5")) == {"a": 2.0, "b": 0.5}
    for word in ("a", "a=", "a=many", "=2"):
        with pytest.raises(InputError, match="should look like 'task=2.5'"):
            parse_weights((word,))


def test_a_path_without_training_data_is_refused(tmp_path):
    with pytest.raises(InputError, match="names 'nowhere', which does not exist"):
        open_sources("nowhere")
    (tmp_path / "notes.txt").write_text(json.dumps({}))
    with pytest.raises(InputError, match="holds neither .jsonl files nor TFDS folders"):
        open_sources(str(tmp_path))
