"""Evaluations of one benchmark, side by side: Markdown, LaTeX, CSV, and one page of HTML.

tart-jax report runs/a/beir runs/b/beir --names=ours,theirs --workdir=runs/report
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.runs = ""  # workdirs of `tart-jax evaluate` with a benchmark, between commas
    config.names = ""  # of the systems, between commas; "": the folders' names
    config.baseline = ""  # the system that the others are compared with; "": the first
    config.examples = 3  # queries shown with the best hits of each system; 0: none
    config.shown = 3  # hits of each
    config.resamples = 10_000  # of the bootstrap and of the permutation test
    config.level = 0.05  # below it an adjusted p counts as a difference
    config.seed = 0  # of both
    if arg == "quicktest":
        config.resamples = 200
    return config
