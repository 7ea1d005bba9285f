"""Evaluation of cross-encoders: which documents are reranked, and the scores of a ranking."""

import jax
import numpy as np
import pytest

from tart_jax import distributed
from tart_jax.data import examples, instructions
from tart_jax.data.examples import TrainingExample
from tart_jax.models import pretrained_cross
from tart_jax.train import dev, dev_pairs
from tart_jax.types import Document, InputError, Query

TABLE = {"qa": instructions.InstructionRow("qa", "", "", "", ("find", "seek"))}


def join(query: str, instruction: str) -> str:
    return f"{instruction}|{query}"


def example(query_id="q1", **changes) -> TrainingExample:
    fields = dict(
        task="qa", query_id=query_id, query="what",
        positives=(Document("p", "w1"), Document("p2", "w2")),
        negatives=(Document("n", "w3"),),
        hard_negatives=(Document("h", "w4"), Document("p", "w1")),
        unfollowing_negatives=(Document("n", "w3"),),
    )  # fmt: skip
    return TrainingExample(**fields | changes)


def from_examples(path, made, **changes):
    examples.write(path, made)
    options = dict(table={}, max_queries=0, join=join)
    return dev_pairs.from_examples(path, **options | changes)


def test_an_examples_documents_are_each_ranked_once(tmp_path):
    pools = from_examples(tmp_path / "dev.jsonl", [example()])
    (pool,) = pools["qa"]
    assert [document.doc_id for document in pool.documents] == ["p", "p2", "n", "h"]
    assert pool.relevance == [1, 1, 0, 0] and pool.query == "|what"


def test_the_own_instruction_wins_over_the_tables_first(tmp_path):
    made = [example(), example("q2", instruction="own"), example("q3", instruction="")]
    pools = from_examples(tmp_path / "dev.jsonl", made, table=TABLE)
    assert [pool.query for pool in pools["qa"]] == ["find|what", "own|what", "|what"]
    few = from_examples(tmp_path / "dev.jsonl", made, max_queries=2)
    assert len(few["qa"]) == 2
    with pytest.raises(InputError, match="no row for the task 'code'"):
        from_examples(tmp_path / "dev.jsonl", [example(task="code")], table=TABLE)


def test_lists_that_any_scores_rank_right_are_refused(tmp_path):
    alone = example(negatives=(), hard_negatives=(), unfollowing_negatives=())
    with pytest.raises(InputError, match="'q1' has no negatives to be ranked against"):
        from_examples(tmp_path / "dev.jsonl", [alone])
    with pytest.raises(InputError, match="holds no example"):
        from_examples(tmp_path / "none.jsonl", [])
    with pytest.raises(InputError, match=r"eval.examples"):
        dev_pairs.from_examples(tmp_path / "nowhere.jsonl", table={}, max_queries=0, join=join)


def retrieval() -> dev.DevSet:
    words = "oak elm ash fir yew bay fig nut ivy rye".split()
    documents = [Document(f"d{i}", f"the {word} tree") for i, word in enumerate(words)]
    documents.append(Document("q1", "elm oak"))  # the query itself, as ArguAna has it
    queries = [Query("q0", "oak"), Query("q1", "elm oak"), Query("q2", "nothing")]
    qrels = {"q0": {"d0": 1, "d5": 2, "d7": 0}, "q1": {"d1": 1}, "q2": {"gone": 1}}
    return dev.DevSet({"trees": dev.DevTask(queries, qrels, "find")}, documents)


def test_bm25_finds_what_is_reranked_beside_the_relevant():
    pools = dev_pairs.from_beir(retrieval(), candidates=3, join=join)
    first, second = pools["trees"]  # q2 has no relevant document in the pool
    found = dict(zip([d.doc_id for d in first.documents], first.relevance, strict=True))
    assert found == {"d5": 2, "d0": 1, "q1": 0} and first.query == "find|oak"
    assert [d.doc_id for d in second.documents] == ["d1", "d0"]  # not the query itself
    few = dev_pairs.from_beir(retrieval(), candidates=1, join=join)
    assert [d.doc_id for d in few["trees"][0].documents] == ["d5", "d0"]


def test_measures_of_known_rankings():
    def pool(*relevance):
        documents = [Document(f"d{i}", "t") for i in range(len(relevance))]
        return dev_pairs.Pool("q", documents, list(relevance))

    pools = [pool(1, 0, 0), pool(1, 0, 0)]
    found = dev_pairs._measure(pools, [np.array([3.0, 1, 2]), np.array([2.0, 1, 3])])
    assert found["MRR"] == pytest.approx(0.75) and found["accuracy"] == 0.5
    assert found["nDCG@10"] == pytest.approx((1 + 1 / np.log2(3)) / 2)
    same = dev_pairs._measure(pools, [np.zeros(3), np.zeros(3)])
    assert same["MRR"] == pytest.approx(1 / 3) and same["accuracy"] == 0.0  # ties gain nothing


def test_scores_are_those_of_the_parameters_handed_in(model_directory, tmp_path):
    model = pretrained_cross.load(model_directory, new_head=True)
    made = [example(f"q{i}", query=f"w{i} w{i + 1}") for i in range(4)]
    made.append(example("other", task="other", query="w9"))
    pools = from_examples(tmp_path / "dev.jsonl", made)
    mesh = distributed.make_mesh({"data": 2}, jax.devices()[:2])
    found = dev_pairs.score(pools, model, model.params, mesh)
    assert set(found) == {
        "dev/nDCG@10", "dev/MRR", "dev/accuracy", "dev/nDCG@10/qa", "dev/nDCG@10/other"
    }  # fmt: skip
    assert found["dev/nDCG@10"] == pytest.approx(
        (found["dev/nDCG@10/qa"] + found["dev/nDCG@10/other"]) / 2
    )
    # Turned scores turn every ranking: the best becomes the last.
    head = jax.tree.map(lambda leaf: -leaf, model.params["classifier"])
    turned = dev_pairs.score(pools, model, model.params | {"classifier": head}, mesh)
    assert turned["dev/nDCG@10"] != found["dev/nDCG@10"]
    assert isinstance(jax.tree.leaves(model.params)[0], np.ndarray)  # left on the host
