"""The BERRI collection (TART, Table 5): 37 tasks as TFDS sets of examples and retrieval corpora.

tart-jax prepare --config=configs/prepare/berri.py --workdir=data/berri --config.tasks="('altlex',)"

The raw files lie in `<sources>/<task>/`; what is missing is named with the way to get it.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.builder = "berri"  # which data set
    config.seed = 0  # of the random negatives; what a cap keeps does not depend on it
    config.tasks = ()  # names of tasks, as ('altlex', 'npr'); (): all
    config.sources = "sources"  # folder with the raw files, <sources>/<task>/<file>
    config.download = False  # True: gets missing files that have an address
    config.skip_missing = False  # True: leaves tasks out whose files are missing, and names them
    config.num_negatives = 7  # random documents of the corpus with each example; the paper's most
    config.max_instances = 0  # instances of a task, below the paper's cap of 300,000; 0: that cap
    config.beam_runner = ""  # DirectRunner, FlinkRunner, SparkRunner or DataflowRunner; "": no Beam
    config.beam_options = ()  # Beam's own arguments, as ('--direct_num_workers=8',)
    if arg == "quicktest":
        config.max_instances = 1_000
        config.skip_missing = True
    return config
