"""Our models in mteb's and BEIR's harnesses; with mteb installed, its figures are ours."""

from types import SimpleNamespace

import numpy as np
import pytest

from tart_jax import io
from tart_jax.api import Reranker, Retriever
from tart_jax.data import corpus
from tart_jax.evaluate.measures import evaluate
from tart_jax.harness import BeirModel, MtebCrossEncoder, MtebEncoder
from tart_jax.types import ScoredDocument
from tests.evaluate.test_benchmark import tasks  # noqa: F401
from tests.search.conftest import make_cross, tiny_cross  # noqa: F401

TASK = SimpleNamespace(name="Local")
QUERY, DOCUMENT = SimpleNamespace(value="query"), SimpleNamespace(value="document")


def test_queries_read_the_instruction_and_documents_do_not(tiny_model):
    ours = Retriever.load(tiny_model)
    model = MtebEncoder(tiny_model, instructions={"Local": "Find it."})
    batches = [{"text": ["apple", "river"]}, {"text": ["stone"]}]
    texts = ["apple", "river", "stone"]
    found = model.encode(batches, task_metadata=TASK, prompt_type=QUERY)
    np.testing.assert_array_equal(found, ours.encode_queries(texts, instruction="Find it."))
    other = model.encode(batches, task_metadata=SimpleNamespace(name="x"), prompt_type=QUERY)
    np.testing.assert_array_equal(other, ours.encode_queries(texts))
    documents = model.encode(batches, task_metadata=TASK, prompt_type=DOCUMENT)
    np.testing.assert_array_equal(documents, ours.encode_documents(texts))
    assert not np.array_equal(found, other)


def test_instructions_that_come_with_the_queries_are_read(tiny_model):
    batch = {"text": ["apple Find a.", "river Find b."], "query": ["apple", "river"],
             "instruction": ["Find a.", "Find b."]}  # fmt: skip
    model, ours = MtebEncoder(tiny_model, instructions="never"), Retriever.load(tiny_model)
    found = model.encode([batch], task_metadata=TASK, prompt_type=QUERY)
    for row, query, instruction in zip(found, batch["query"], batch["instruction"], strict=True):
        expected = ours.encode_queries([query], instruction=instruction)[0]
        np.testing.assert_allclose(row, expected, atol=1e-6)  # batches of other sizes


def test_a_cross_encoder_scores_each_pair(tiny_cross):  # noqa: F811
    model = MtebCrossEncoder(tiny_cross.source, instructions="Find it.")
    ours = Reranker.load(tiny_cross.source)
    found = model.predict(
        [{"text": ["apple", "apple"]}, {"text": ["river"]}],
        [{"text": ["a", "b", "c"]}],
        task_metadata=TASK,
    )
    expected = [
        *ours.scores("apple", ["a", "b"], instruction="Find it."),
        *ours.scores("river", ["c"], instruction="Find it."),
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert model.predict([], [], task_metadata=TASK).shape == (0,)


def test_beirs_model_reads_title_and_text(tiny_model):
    model, ours = BeirModel(tiny_model, instruction="Find it."), Retriever.load(tiny_model)
    rows = [{"title": "apple", "text": "river"}, {"title": "", "text": "stone"}]
    np.testing.assert_array_equal(
        model.encode_corpus(rows, batch_size=8), ours.encode_documents(["apple river", "stone"])
    )
    np.testing.assert_array_equal(
        model.encode_queries(["a"], batch_size=8),
        ours.encode_queries(["a"], instruction="Find it."),
    )


def local_task(folder):
    """A BEIR folder as a task of mteb."""
    from datasets import Dataset
    from mteb import TaskMetadata
    from mteb.abstasks import AbsTaskRetrieval

    class Local(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="Local", description="a local task", type="Retrieval", category="t2t",
            modalities=["text"], eval_splits=["test"], eval_langs=["eng-Latn"],
            main_score="ndcg_at_10", dataset={"path": "none", "revision": "none"}, reference=None,
            date=None, domains=[], task_subtypes=[], license=None, annotations_creators=None,
            dialect=[], sample_creation=None, bibtex_citation="",
        )  # fmt: skip

        def load_data(self, **kwargs):
            documents = list(corpus.read_documents(folder))
            qrels = io.read_qrels(folder / "qrels" / "test.tsv")
            queries = [q for q in corpus.read_queries(folder) if q.query_id in qrels]
            self.dataset = {"default": {"test": {
                "corpus": Dataset.from_list(
                    [{"id": d.doc_id, "title": d.title, "text": d.text} for d in documents]
                ),
                "queries": Dataset.from_list(
                    [{"id": q.query_id, "text": q.text} for q in queries]
                ),
                "relevant_docs": qrels,
                "top_ranked": None,
            }}}  # fmt: skip
            self.data_loaded = True

    return Local()


def ours_of(retriever, folder, instruction):
    documents = list(corpus.read_documents(folder))
    qrels = io.read_qrels(folder / "qrels" / "test.tsv")
    queries = [q for q in corpus.read_queries(folder) if q.query_id in qrels]
    asked = retriever.encode_queries([q.text for q in queries], instruction=instruction)
    scores = asked @ retriever.encode_documents([d.contents() for d in documents]).T
    run = {
        query.query_id: [
            ScoredDocument(d.doc_id, float(s)) for d, s in zip(documents, row, strict=True)
        ]
        for query, row in zip(queries, scores, strict=True)
    }
    return evaluate(run, qrels, ("nDCG@10",)).mean["nDCG@10"]


@pytest.mark.filterwarnings("ignore")
def test_mtebs_own_harness_gives_our_ndcg(tiny_model, tasks, tmp_path):  # noqa: F811
    mteb = pytest.importorskip("mteb")
    model = MtebEncoder(tiny_model, instructions={"Local": "Find it."})
    cache = mteb.ResultCache(cache_path=tmp_path)
    found = mteb.evaluate(model, local_task(tasks / "code"), cache=cache, co2_tracker=False)
    (score,) = found[0].scores["test"]
    ours = ours_of(model.retriever, tasks / "code", "Find it.")
    assert score["ndcg_at_10"] == pytest.approx(ours, abs=1e-4)
    assert abs(ours - ours_of(model.retriever, tasks / "code", "")) > 1e-4  # the broken twin
