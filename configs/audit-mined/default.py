"""Audit mined examples: false negatives as a teacher sees them, scores, overlap between miners.

tart-jax audit-mined runs/a/mined,runs/b/mined --teacher.model=runs/c/model --workdir=runs/audit
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.mined = ""  # mined.jsonl, its folder, or any training file; several, between commas
    config.instructions = config_dict.placeholder(str)  # None: the table it was mined with
    config.sample = 500  # queries of each file that the teacher scores, the same in all files
    config.positive_above = 0.9  # a negative whose normalised score is higher is called positive
    config.read = 10  # queries shown to read, those of the most suspicious negatives
    config.seed = 0  # of the sample

    config.teacher = ConfigDict()
    config.teacher.model = ""  # a cross-encoder; '': the scores in the file are taken, of all lines
    config.teacher.kind = "cross_encoder"  # what the model is, as in configs/rerank/default.py
    config.teacher.normalization = "sigmoid"  # of a score: sigmoid, min_max (of its query), none
    config.teacher.max_length = config_dict.placeholder(int)  # tokens; None: the model's own
    config.teacher.tokens_per_batch = config_dict.placeholder(int)  # None: by the device
    config.teacher.compute_dtype = "float32"  # float32 or bfloat16
    config.teacher.instruction_order = config_dict.placeholder(str)  # None: the model's own
    config.teacher.separator = config_dict.placeholder(str)  # None: the model's own
    config.teacher.force_format = False  # True: another format than the model's is no error
    config.teacher.mesh = ConfigDict()
    config.teacher.mesh.data = -1  # devices that share each batch; -1: all of them
    if arg == "quicktest":
        config.sample = 20
        config.read = 3
    return config
