"""Convert a released checkpoint, or a model directory, to ours or to another layout.

tart-jax convert --config.source=checkpoint.pth --config.config_from=facebook/contriever \
    --workdir=runs/tart-dual
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.source = ""  # weight file, model directory, package:NAME, or hub id
    config.document_source = ""  # the context encoder, where source is DPR's question encoder
    config.config_from = ""  # directory or hub id with config.json and tokenizer; '': the source's
    config.layout = ""  # how the keys are named; '': told by them; a wrong name lists the layouts
    config.to = "tart_jax"  # tart_jax (ours; HF and sentence-transformers read it), hf, or a layout
    config.strict = True  # an unexpected key is an error; False leaves it out and says so
    config.pooling = placeholder(
        str
    )  # mean, cls, max, last; None: as the checkpoint or layout says
    config.normalize = placeholder(bool)  # embeddings of length 1; None: as the checkpoint says
    config.separator = placeholder(str)  # cross-encoder: between instruction and query, as '</s>'
    return config
