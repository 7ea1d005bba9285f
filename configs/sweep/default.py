"""Models that differ in a few options of training, each with several seeds, on the same test.

tart-jax sweep --config=configs/sweep/negatives.py --workdir=runs/sweep
A variant is "name: key=value; key=value", the keys those of the training config; "{NAME}" stands
for the model of an earlier variant. Differences are to the first variant. What is finished is not
done again.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.train = "configs/train/real_tasks.py"  # the training config that variants change
    config.variants = ("as it is:",)  # "name: key=value; key=value"
    config.seeds = (0, 1, 2)  # each variant is trained with each
    config.test = "runs/real_tasks/test"  # BEIR folders of the tasks, and instructions.tsv
    config.evaluate = ""  # a config of evaluate to score with instead: configs/evaluate/kilt.py
    config.evaluate_options = ()  # ("key=value", ...) for it; a variant's own: "evaluate.key=value"
    config.combined = ()  # "name: task=variant; ...": of each task another variant's scores
    config.published = ""  # show what published.tsv has of systems whose names begin so
    config.tasks = ()  # those that are averaged; (): all
    config.max_queries = 0  # test queries of a task, at most, always the same; 0: all
    config.max_documents = 0  # of a task, the judged always among them; 0: all
    config.tested = ("right",)  # with what its queries are asked: right, none, wrong, wording:2
    config.k = 10  # hits looked at: nDCG@k, share of hits of the wanted kind
    config.resamples = 10_000  # of the paired bootstrap behind each interval
    config.seed = 0  # of the bootstrap and of the draw of queries and documents
    if arg == "quicktest":
        config.train += ":quicktest"
        config.seeds = (0,)
        config.max_queries = 5
        config.max_documents = 50
        config.resamples = 200
    return config
