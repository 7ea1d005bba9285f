"""Shares by group, and the warning of kinds that are never anybody's positive."""

import numpy as np

from tart_jax.data.audit.run import Settings, audit
from tart_jax.data.audit.shares import Kind, KindCounter, by_group, shunned
from tart_jax.data.instructions import InstructionRow


def row(task: str, domain: str, unit: str) -> InstructionRow:
    return InstructionRow(task, "", domain, unit, ("Find it.",))


def test_examples_are_shared_by_task_domain_and_unit():
    table = {"a": row("a", "web", "page"), "b": row("b", "web", "title")}
    assert by_group({"a": 3, "b": 1, "c": 2, "none": 0}, table) == {
        "task": {"a": 3, "b": 1, "c": 2},
        "domain": {"web": 4, "(not in the table)": 2},
        "unit": {"page": 3, "title": 1, "(not in the table)": 2},
    }


def test_a_corpus_whose_documents_nobody_wants_is_shunned(tmp_path, planted):
    titles = [{"_id": f"t{n}", "text": f"title {n}"} for n in range(5)]
    corpus = tmp_path / "titles"
    corpus.mkdir()
    planted.write(corpus / "corpus.jsonl", titles)
    taken = [planted.doc(0, f"t{n}", text=f"Title  {n}") for n in range(3)]
    wants_pages = [planted.example(n, unfollowing_negatives=[taken[n % 3]]) for n in range(1, 7)]
    train = planted.write(tmp_path / "train.jsonl", wants_pages)
    assert shunned([train, corpus]) == {"titles": Kind(5, 0, 3)}
    # One query that wants a title, and the kind is shunned no more.
    (corpus / "qrels").mkdir()
    (corpus / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq\tt1\t1\n")
    assert shunned([train, corpus]) == {}


def test_unfollowing_negatives_of_no_known_corpus_are_a_kind_of_their_own(tmp_path, planted):
    foreign = planted.doc(777)
    train = [planted.example(1, unfollowing_negatives=[foreign]), planted.example(2, "b")]
    path = planted.write(tmp_path / "train.jsonl", train)
    assert shunned([path]) == {"unfollowing negatives of a": Kind(1, 0, 1)}
    wanted = planted.write(tmp_path / "b.jsonl", [planted.example(3, "b", positives=[foreign])])
    assert shunned([path, wanted]) == {}


def test_the_unit_of_the_table_joins_tasks(tmp_path, planted):
    """Task b never has a positive here; a has, and both look for pages."""
    only_negatives = planted.example(1, "b", positives=[])
    path = planted.write(tmp_path / "train.jsonl", [only_negatives, planted.example(2, "a")])
    assert list(shunned([path])) == ["b"]
    table = tmp_path / "table.tsv"
    table.write_text("task\tdomain\tunit\tinstruction_1\na\tw\tpage\tx\nb\tw\tpage\tx\n")
    assert shunned([path], instructions=table) == {}


def test_the_audit_of_a_mixture_warns(tmp_path, planted):
    path = planted.write(tmp_path / "train.jsonl", [planted.example(1, "b", positives=[])])
    kinds = audit(path, Settings()).result["kinds"]
    assert kinds["b"] == {"texts": 3, "positives": 0, "negatives": 3, "shunned": True}


def test_parts_add_up_whatever_their_order():
    draw = np.random.default_rng(0)
    keys = draw.integers(0, 40, 300) << 12 | draw.integers(0, 3, 300)
    values = draw.integers(0, 9, 300) << 12 | draw.integers(0, 5, 300)
    rows = np.stack([keys, values], axis=1)
    rows = np.unique(rows.astype(np.uint64), axis=0)
    whole = KindCounter(["a", "b", "c"], None)
    whole.visit(rows)
    cut = int(np.searchsorted(rows[:, 0], np.uint64(20 << 12)))
    parts = KindCounter(["a", "b", "c"], None)
    for part in (rows[cut:], rows[:cut]):
        parts.visit(part)
    assert whole.kinds() == parts.kinds()
    assert whole.kinds()["a"].texts == len({key >> 12 for key, value in rows.tolist()
                                            if key & 4095 == 0 and value & 4095 != 3})  # fmt: skip
