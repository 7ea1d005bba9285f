"""Six instructed retrieval tasks made from the Python installation that runs it.

tart-jax prepare --config=configs/prepare/python_library.py --workdir=runs/python_library
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.builder = "python_library"  # what makes the data set
    config.seed = 0  # of the split by module and of every draw
    config.packages = ()  # installed packages to read, too: ('flax', 'optax')
    config.max_modules = 0  # modules with documented functions to read; 0: all
    config.max_train_per_task = 1_500  # training examples of a task
    config.max_test_queries = 200  # test queries of a task; averaged tasks need 150
    config.max_dev_queries = 50  # dev queries of a task
    config.max_test_documents = (
        500  # documents in the test corpus of a task, the answers among them
    )
    config.max_dev_documents = 150  # documents in the dev corpus of a task
    config.num_negatives = 8  # random negatives stored with each training example
    config.duplicate_threshold = 0.6  # Jaccard similarity from which a text repeats a held-out one
    if arg == "quicktest":
        config.max_modules = 60
        config.max_train_per_task = 100
        config.max_test_queries = 20
        config.max_dev_queries = 10
        config.max_test_documents = 60
        config.max_dev_documents = 30
    return config
