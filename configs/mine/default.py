"""Negatives for training examples: candidates of a retriever, filtered, relabelled, of other kinds.

tart-jax mine --config.examples=runs/a/train --config.index=runs/a/index/{task}
    --config.retriever.model=runs/a/model --workdir=runs/a/mined
"{task}" in a path stands for each example's task. A killed run continues where it was.
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.examples = ""  # training examples: files, folders, several between commas
    config.max_per_task = 0  # the first examples of each task; 0: all
    config.index = ""  # an index of `tart-jax index`, or each task's; several between commas fuse
    config.run = ""  # TREC runs of the examples' queries, instead of or beside an index
    config.corpus = ""  # where the texts are; '': the corpora that were indexed
    config.exclude = ""  # BEIR folders, or folders of them: their queries and answers are no text
    config.instructions = ""  # the instruction table; '': none but the examples' own
    config.keep = False  # True: the examples' own hard and unfollowing negatives stay, too
    config.seed = 0  # of every draw
    config.block_size = 64  # examples mined at a time; a killed run loses one such block at most
    config.overwrite = False  # True: drop the blocks of another, unfinished mining

    config.retriever = ConfigDict()
    config.retriever.model = ""  # the model that made the embeddings; BM25 and runs need none
    config.retriever.instructed = True  # False: it reads the bare query
    config.retriever.query_length = config_dict.placeholder(int)  # tokens; None: the model's own
    config.retriever.tokens_per_batch = config_dict.placeholder(int)  # None: by the device
    config.retriever.compute_dtype = "float32"  # float32 or bfloat16
    config.retriever.instruction_order = config_dict.placeholder(str)  # None: the model's own
    config.retriever.separator = config_dict.placeholder(str)  # None: the model's own
    config.retriever.force_format = False  # True: another format than the model's is no error
    config.retriever.mesh = ConfigDict()
    config.retriever.mesh.data = -1  # devices that share each batch; -1: all of them

    config.hard = ConfigDict()
    config.hard.first_rank = 1  # the best rank that may be a negative
    config.hard.last_rank = 100  # the last; so many are retrieved
    config.hard.min_score = config_dict.placeholder(float)  # of the retriever
    config.hard.max_score = config_dict.placeholder(float)  # of the retriever
    config.hard.absolute_margin = config_dict.placeholder(float)  # below the positive's score
    config.hard.relative_margin = config_dict.placeholder(float)  # as a share of that score
    config.hard.count = 8  # hard negatives of a query
    config.hard.sampling = "top"  # top: the best; random: drawn from the window
    config.hard.answer_checked = True  # False: a passage may hold one of the example's answers
    # A text that shares so many of its runs of three words with a positive or the query is none.
    config.hard.near_duplicate = 0.8  # shared over all (Jaccard), 0 to 1; 0: only the same text

    config.teacher = ConfigDict()
    config.teacher.model = ""  # a cross-encoder that scores all documents; '': none
    config.teacher.kind = "cross_encoder"  # what the model is, as in configs/rerank/default.py
    config.teacher.relabel = True  # False: its scores are stored, labels stay (soft distillation)
    config.teacher.negative_below = 0.1  # a hard negative; what lies between is dropped
    config.teacher.positive_above = 0.9  # a positive
    config.teacher.normalization = "sigmoid"  # of a score before that: sigmoid, min_max, none
    config.teacher.max_length = config_dict.placeholder(int)  # tokens; None: the model's own
    config.teacher.tokens_per_batch = config_dict.placeholder(int)  # None: by the device
    config.teacher.compute_dtype = "float32"  # float32 or bfloat16
    config.teacher.instruction_order = config_dict.placeholder(str)  # None: the model's own
    config.teacher.separator = config_dict.placeholder(str)  # None: the model's own
    config.teacher.force_format = False  # True: another format than the model's is no error
    config.teacher.mesh = ConfigDict()
    config.teacher.mesh.data = -1  # devices that share each batch; -1: all of them

    config.unfollowing = ConfigDict()
    config.unfollowing.table = ""  # a TSV `task corpora`, or "paper" (TART, Table 10); '': none
    config.unfollowing.k = 20  # best documents of each such corpus to draw from
    config.unfollowing.share = 0.2  # at most this share of a query's negatives
    config.unfollowing.per_pair = 10_000  # at most so many of a task and a corpus
    if arg == "quicktest":
        config.max_per_task = 32
        config.hard.last_rank = 20
    return config
