"""What a training needs of each device, told from shapes: nothing is compiled, no weight is read.

tart-jax plan configs/train/tart_dual.py --devices=8 --chips="H100,TPU v5e"
The estimate follows what XLA allocates where it schedules for memory, as it does on accelerators.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.train = "configs/train/default.py"  # config of the training
    config.train_options = ()  # ("data.batch_size=64", ...): its keys, set over that file
    config.shape = ""  # a config.json of the encoder, where config.model.source is not at hand
    config.devices = 1  # that the training's mesh divides
    config.chips = "A100 80GB,H100,TPU v5e,TPU v6e"  # to fit into, between commas; "all": all known
    config.room = 0.9  # share of a chip's memory that a program may plan with
    if arg == "quicktest":
        config.train += ":quicktest"
        config.chips = "H100"
    return config
