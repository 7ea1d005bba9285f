"""Score a TREC run against qrels, as trec_eval does; or a system on the tasks of a benchmark.

tart-jax evaluate --workdir=runs/a/scores \\
    --config.run=runs/a/search/run.trec --config.qrels=data/nfcorpus/qrels/test.tsv
tart-jax evaluate --config=configs/evaluate/beir.py --config.retriever=runs/a/model \\
    --config.root=data/beir --workdir=runs/a/beir
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.run = ""  # a TREC run: query Q0 document rank score tag; or KILT predictions (.jsonl)
    config.qrels = ""  # a TSV with the header query-id, corpus-id, score; or KILT's file (.jsonl)
    config.measures = (
        "nDCG@10",
        "MAP",
        "MRR@10",
        "Recall@100",
        "P@10",
        "Success@5",
    )  # also R-precision, MAP@k, ...; of KILT Rprec, passage-Rprec, recall@5, KILT-f1, ...
    config.changed_run = ""  # under altered instructions: p-MRR (FollowIR); with its own
    config.changed_qrels = ""  # judgements, where documents are relevant no more
    config.instance_mark = (
        ""  # "_" where ids are QUERY_INSTANCE: Robustness@k (InstructIR) of nDCG@k
    )
    config.benchmark = ""  # a table of tasks (.tsv), or a test folder of `tart-jax prepare`
    config.root = "data"  # a table's folders stand here
    config.download = False  # get what is missing there, where its address is known
    config.tasks = ()  # of the benchmark; (): all
    config.pooled = False  # also over the documents of all tasks, encoded once
    config.pools = False  # each query ranks only the documents judged for it (BIRCO)
    config.gold = ()  # KILT's files, "nq=nq-dev-kilt.jsonl" each: `benchmark` is a KILT folder
    config.instructions = "bank:kilt"  # of KILT's tasks; a .tsv, or bank:kilt_markers
    config.judged = ""  # a judging sheet that was filled in: what it says counts in the pool, too
    config.judging_sheet = ""  # write there the pooled hits of other tasks, for a person to judge
    config.instruction = ("right",)  # none, wrong (another's), wording:2, of:TASK, ...
    config.max_queries = 0  # of a task, always the same ones; 0: all
    config.max_documents = 0  # of a task, the judged always among them; 0: all
    config.retriever = ""  # a model (a folder, a hub id, package:NAME), or BM25
    config.encode_options = ()  # ("document_length=256", ...): keys of configs/encode/default.py
    config.retriever_options = ()  # ("query_length=64", ...): keys of configs/search/default.py
    config.plain_retriever = False  # True: it reads no instruction, the reranker does (TART-full)
    config.reranker = ""  # a cross-encoder or a T5 for the first `candidates`; "": none
    config.reranker_kind = "cross_encoder"  # or monot5, upr
    config.reranker_options = ()  # ("max_length=256", ...): keys of configs/rerank/default.py
    config.k = 100  # documents that the retriever finds for a query
    config.candidates = 100  # of them are reranked
    config.drop_self = True  # remove a hit with the query's own id first (BEIR)
    config.complete = True  # judged queries that the run lacks count 0; False: they are left out
    config.resamples = 10_000  # of the bootstrap, for the 95% intervals of the means
    config.seed = 0  # of the bootstrap
    if arg == "quicktest":
        config.resamples = 200
    return config
