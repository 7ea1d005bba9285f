"""Score a TREC run against qrels, as trec_eval does.

tart-jax evaluate --workdir=runs/a/scores \\
    --config.run=runs/a/search/run.trec --config.qrels=data/nfcorpus/qrels/test.tsv
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.run = ""  # a TREC run: query Q0 document rank score tag; gzip or not
    config.qrels = ""  # a TSV with the header query-id, corpus-id, score; gzip or not
    config.measures = (
        "nDCG@10",
        "MAP",
        "MRR@10",
        "Recall@100",
        "P@10",
        "Success@5",
    )  # also R-precision, MAP@k, ...
    config.drop_self = True  # remove a hit with the query's own id first (BEIR)
    config.complete = True  # judged queries that the run lacks count 0; False: they are left out
    config.resamples = 10_000  # of the bootstrap, for the 95% intervals of the means
    config.seed = 0  # of the bootstrap
    if arg == "quicktest":
        config.resamples = 200
    return config
