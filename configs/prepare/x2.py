"""X2 (TART, section 4.2) from its public sources, by the paper's recipes.

Sources: AmbigNQ light (nlp.cs.washington.edu/ambigqa), WikiQACorpus (microsoft.com), SciFact and NQ
of BEIR, GooAQ (github.com/allenai/gooaq), LinkSO (sites.google.com/view/linkso), CodeSearchNet
(github.com/github/CodeSearchNet). The paper drew its queries without a seed: only the authors'
archive, which configs/evaluate/x2.py reads as well, has those.

tart-jax prepare --config=configs/prepare/x2.py --workdir=data/x2 \\
    --config.ambigqa=ambignq_light --config.wikiqa=WikiQACorpus --config.scifact=beir/scifact
tart-jax evaluate --config=configs/evaluate/x2.py --config.root=data/x2 \\
    --config.tasks="('ambigqa','wikiqa','scifact')" --config.retriever=BM25 --workdir=runs/x2
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.builder = "x2"  # what is built
    config.ambigqa = ""  # folder with train_light.json and dev_light.json; "": left out
    config.wikiqa = ""  # folder with WikiQA-{train,dev,test}.tsv
    config.scifact = ""  # BEIR's folder
    config.gooaq_technical = ""  # gooaq.jsonl, with answer_url
    config.linkso_py = ""  # folder with python_{qid2all,cosidf,test_qid}.txt
    config.codesearch_py = ""  # folder with {train,valid,test}/*.jsonl.gz of Python
    config.nq = ""  # BEIR's folder, documents for the pool
    config.seed = 0  # of the 1,000 queries drawn of GooAQ and of CodeSearchNet
    return config
