"""Two evaluations of the same queries side by side: is the difference more than chance?

tart-jax compare runs/a/scores runs/b/scores
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.runs = ""  # two workdirs of `tart-jax evaluate`, or of a benchmark, between commas
    config.measures = ()  # (): all that both have
    config.resamples = 10_000  # of the bootstrap and of the permutation test
    config.level = 0.05  # below it an adjusted p counts as a difference
    config.seed = 0  # of both
    if arg == "quicktest":
        config.resamples = 200
    return config
