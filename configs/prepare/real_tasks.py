"""Real collections in BEIR's layout as instructed tasks, divided by one rule (70/10/20 by hash).

tart-jax prepare --config=configs/prepare/real_tasks.py --workdir=runs/real_tasks \
    --config.root=FOLDER_OF_COLLECTIONS
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.builder = "real_tasks"  # what makes the data set
    config.seed = 0  # of every draw
    config.root = "data"  # folder that the folders of `tasks` stand in
    config.tasks = (  # "name=folder"; the name is a row of one of the banks
        "agnews=multitask-derived/agnews-title2summary",
        "altlex=multitask-derived/altlex-wiki2simple",
        "climate-fever=multitask-derived/climate-fever-evidence",
        "pubmedqa=multitask-derived/pubmedqa",
        "quora=multitask-derived/quora-duplicates",
        "scitldr=multitask-derived/scitldr-abstract2tldr",
        "squad=multitask-derived/squad-dev-subset",
        "hotpotqa=multitask-derived/hotpotqa-pool",
        "codesearch_py=cosqa-python",
        "nfcorpus=nfcorpus",
    )
    config.held_out = ("hotpotqa", "codesearch_py", "nfcorpus")  # never trained on
    config.banks = ("berri", "beir", "x2")  # where instructions are looked up, in this order
    config.num_negatives = 8  # random negatives stored with each training example
    config.max_train_per_task = 0  # training examples of a task; 0: all
    config.max_dev_queries = 50  # dev queries of a task; 0: all
    if arg == "quicktest":
        config.tasks = config.tasks[:2]
        config.held_out = ()
        config.max_train_per_task = 50
        config.max_dev_queries = 10
    return config
