"""What a dev set says of a dual encoder in training."""

import numpy as np

from tart_jax import distributed
from tart_jax.encode.encoder import Encoder
from tart_jax.models import pretrained
from tart_jax.train import dev
from tart_jax.types import Document, Query

LETTERS = "abcdefghijklmnop"


def test_both_measures_are_means_over_tasks_by_exact_search(tiny_model):
    """One task has 12 relevant documents, more than the ten that nDCG@10 looks at."""
    model = pretrained.load(tiny_model)
    documents = [Document(f"d{n}", f"{a} {a}{n}") for n, a in enumerate(LETTERS)]
    relevant = {"many": [f"d{n}" for n in range(12)], "one": ["d3"]}
    tasks = {
        name: dev.DevTask([Query("q", f"{name} b")], {"q": dict.fromkeys(ids, 1)}, "find")
        for name, ids in relevant.items()
    }
    mesh = distributed.make_mesh({"data": 8})
    found = dev.score(dev.DevSet(tasks, documents), model, model.params, mesh)

    def embed(texts, tower):
        return Encoder(model, tower=tower, max_length=48).encode(texts)

    vectors = embed([d.contents() for d in documents], "document")
    expected = {}
    for name, ids in relevant.items():
        asked = embed([f"find [SEP] {name} b"], "query")
        best = [documents[place].doc_id for place in np.argsort(-(vectors @ asked[0]))]
        hits = [doc_id in ids for doc_id in best]
        expected[f"dev/R-precision/{name}"] = np.mean(hits[: len(ids)])
        gains = 1 / np.log2(np.arange(2, 12))
        ideal = gains[: len(ids)].sum()
        expected[f"dev/nDCG@10/{name}"] = (gains * hits[:10]).sum() / ideal
    for measure in ("nDCG@10", "R-precision"):
        expected[f"dev/{measure}"] = np.mean([expected[f"dev/{measure}/{n}"] for n in relevant])
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[n] for n in expected], list(expected.values()), atol=1e-6)
    assert 0 < found["dev/R-precision/many"] < 1
