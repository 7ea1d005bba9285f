"""The instructions that come with the package: complete, our own, and sampled by the step alone."""

import re
from collections import Counter

import numpy as np
import pytest
from scipy.stats import binom

from tart_jax.data import examples, instructions
from tart_jax.data.batching import Collator, Sampler
from tart_jax.data.examples import TrainingExample
from tart_jax.data.instruction_lint import lint, states
from tart_jax.data.mixture import mix
from tart_jax.data.pipeline import Batches
from tart_jax.data.sources import open_source
from tart_jax.types import Document

OURS = [name for name in instructions.BANKS if name not in ("tart_table9", "kilt_markers")]
TASKS = {
    "berri": """altlex stackexchange_title_title stackexchange_query_answer
        stackexchange_body_body yahoo_answers msmarco eli5 wikihow searchqa agnews npr
        codesearch_java codesearch_ruby codesearch_javascript codesearch_go paq
        sentence_compression cnn_dailymail xsum coco_captions quora ccnews fever hotpotqa nq
        triviaqa wow_knowledge wow_response medical_simplification scitldr pubmedqa medmcqa
        gigaword record multilexsum qrecc oqa squad""",
    "kilt": """fever aidayago2 trex structured_zeroshot nq hotpotqa triviaqa wow eli5 wned
        cweb""",
    "kilt_markers": """fever aidayago2 trex structured_zeroshot nq hotpotqa triviaqa eli5 wow wned
        cweb""",
    "beir": """trec-covid nfcorpus nq hotpotqa fiqa arguana webis-touche2020 cqadupstack quora
        dbpedia-entity scidocs fever climate-fever scifact msmarco bioasq signal1m trec-news
        robust04""",
    "lotte": """writing-search writing-forum recreation-search recreation-forum science-search
        science-forum technology-search technology-forum lifestyle-search lifestyle-forum
        pooled-search pooled-forum""",
    "x2": "wikiqa ambigqa scifact gooaq_technical codesearch_py linkso_py",
    "tart_table9": """trec-covid nfcorpus fiqa arguana webis-touche2020 dbpedia-entity scidocs
        climate-fever scifact x2-wikiqa x2-ambigqa x2-scifact x2-gooaq_technical x2-codesearch_py
        x2-linkso_py""",
}


def texts(*names: str) -> list[str]:
    tables = [instructions.bank(name) for name in names]
    return [text for table in tables for row in table.values() for text in row.instructions]


@pytest.mark.parametrize("name", instructions.BANKS)
def test_a_bank_has_a_row_for_each_of_its_tasks(name):
    assert list(instructions.bank(name)) == TASKS[name].split()


@pytest.mark.parametrize("name", OURS)
def test_a_bank_of_ours_passes_the_strict_linter(name):
    assert lint(f"bank:{name}") == []


def test_the_prompts_of_the_paper_pass_the_linter_that_is_not_strict():
    assert lint("bank:tart_table9", strict=False) == []
    assert lint("bank:tart_table9") != []


@pytest.mark.parametrize("name", OURS)
def test_every_instruction_of_ours_states_both_domain_and_unit(name):
    for row in instructions.bank(name).values():
        for text in row.instructions:
            assert states(text, row.domain), f"{row.task}: {text!r} states no {row.domain!r}"
            assert states(text, row.unit), f"{row.task}: {text!r} states no {row.unit!r}"


@pytest.mark.parametrize("name", OURS)
def test_the_instructions_of_a_task_are_whole_sentences_of_different_form(name):
    for row in instructions.bank(name).values():
        assert len({text.split()[0] for text in row.instructions}) >= 3, row.task
        for text in row.instructions:
            assert text[0].isupper() and text[-1] in ".?" and len(text.split()) >= 6, text


def test_no_instruction_of_a_benchmark_is_a_training_instruction():
    assert set(texts("beir", "lotte", "x2")) & set(texts("berri", "kilt")) == set()


def runs_of_seven(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[start : start + 7]) for start in range(len(words) - 6)}


def borrowed(ours: list[str], others: list[str]) -> list[str]:
    """Those of ours that equal one of the others or share a run of seven words with them."""
    theirs = {run for text in others for run in runs_of_seven(text)}
    plain = {text.casefold().strip(" .?") for text in others}
    return [
        text
        for text in ours
        if runs_of_seven(text) & theirs or text.casefold().strip(" .?") in plain
    ]


def test_our_wordings_are_not_those_of_the_paper():
    others = texts("tart_table9")
    assert borrowed(texts(*OURS), others) == []
    assert borrowed([f"Please: {others[0]}!", others[4].upper()], others) != []


def test_our_wordings_are_not_those_of_the_released_table(test_data):
    table = instructions.read_table(test_data / "berri_instructions.tsv")
    others = [text for row in table.values() for text in row.instructions]
    assert borrowed(texts(*OURS), others) == []
    assert len(borrowed(others, others)) == len(others)


class Queries(Collator):
    """Keeps the texts, so that a batch shows which instructions were drawn."""

    def __init__(self) -> None:
        pass

    def __call__(self, rows):
        return {"query": np.array([row.query for row in rows])}


BANK = {task: row.instructions for task, row in instructions.bank("berri").items()}


@pytest.fixture
def batches(tmp_path):
    """Makes batches of 16 from 76 examples: two for each task of BERRI, or more of fewer tasks."""

    def make(table=BANK, *, seed=3, dropout=0.0, sampler=Sampler) -> Batches:
        path = tmp_path / f"{len(table)}.jsonl"
        made = (
            TrainingExample(task, f"{task}-{i}", f"{task} {i}", (Document(f"p{i}", "text"),))
            for task in sorted(table)
            for i in range(76 // len(table))
        )
        examples.write(path, made)
        mixture = mix({"made": open_source(path)}, mixing="proportional")
        sample = sampler(table, 0, 0.0, dropout, "instruction_first", "[SEP]")
        return Batches(mixture, sample, Queries(), batch_size=16, seed=seed)

    return make


def drawn(data: Batches, steps: range) -> list[str]:
    """The instruction, or "", of each query of these steps."""
    queries = [str(query) for step in steps for query in data[step]["query"]]
    return [query.rpartition(" [SEP] ")[0] for query in queries]


class Wandering(Sampler):
    """The broken twin: its choice hangs on how often it was asked."""

    asked = Counter[str]()

    def _instruction(self, example, rng):
        self.asked[example.task] += 1
        return self.table[example.task][self.asked[example.task] % len(self.table[example.task])]


def depends_on_step_alone(batches, sampler: type[Sampler]) -> bool:
    one, other = batches(sampler=sampler), batches(sampler=sampler)
    forward = [drawn(one, range(step, step + 1)) for step in range(12)]
    again = [drawn(one, range(step, step + 1)) for step in range(12)]
    backward = [drawn(other, range(step, step + 1)) for step in reversed(range(12))]
    iterated = [next(data) for data in [one.iterate(5)] for _ in range(7)]
    later = [[str(q).rpartition(" [SEP] ")[0] for q in batch["query"]] for batch in iterated]
    return forward == again == backward[::-1] and later == forward[5:]


def test_the_instruction_at_a_step_is_a_function_of_the_step_alone(batches):
    assert depends_on_step_alone(batches, Sampler)
    assert not depends_on_step_alone(batches, Wandering)


def test_another_seed_draws_other_instructions(batches):
    # 19 batches hold each example four times: sorted, only the drawing can make them differ.
    epochs = [sorted(drawn(batches(seed=seed), range(19))) for seed in (3, 4)]
    assert epochs[0] != epochs[1]
    assert epochs[0] == sorted(drawn(batches(seed=3), range(19)))


def test_every_instruction_of_the_bank_is_drawn_and_each_with_its_own_task(batches):
    data = batches()
    queries = [str(query) for step in range(150) for query in data[step]["query"]]
    seen = {(query.split(" [SEP] ")[1].split()[0], query.split(" [SEP] ")[0]) for query in queries}
    assert seen == {(task, text) for task, texts in BANK.items() for text in texts}


def test_an_empty_cell_is_never_sampled(batches, tmp_path):
    lines = ["dataset\tprompt_1\tprompt_2\tprompt_3", "quora\tone\t\tthree", "wow\t\ttwo\t "]
    (tmp_path / "t.tsv").write_text("\r\n".join(lines))
    table = instructions.read_table(tmp_path / "t.tsv")
    read = {task: row.instructions for task, row in table.items()}
    assert set(drawn(batches(read), range(40))) == {"one", "two", "three"}
    # The twin samples all cells of a row, as the script that made TART's training data did.
    cells = {"quora": ("one", "nan", "three"), "wow_knowledge": ("nan", "two", "nan")}
    assert "nan" in drawn(batches(cells), range(40))


def dropped_share_fits(batches, share: float, expected: float) -> bool:
    """Whether the count of bare queries lies where 999,999 of a million binomial draws do."""
    found = drawn(batches(dropout=share), range(120))
    low, high = binom.ppf([5e-7, 1 - 5e-7], len(found), expected)
    return bool(low <= found.count("") <= high)


def test_dropout_leaves_out_the_configured_share(batches):
    assert dropped_share_fits(batches, 0.3, 0.3)
    assert not dropped_share_fits(batches, 0.3, 0.2)
    assert drawn(batches(dropout=1.0), range(10)) == [""] * 160
    assert "" not in drawn(batches(dropout=0.0), range(10))


def test_dropout_changes_no_instruction_that_stays(batches):
    whole, some = drawn(batches(), range(30)), drawn(batches(dropout=0.5), range(30))
    assert 0 < some.count("") < len(some)
    assert all(kept in ("", text) for kept, text in zip(some, whole, strict=True))
