"""KILT: Wikipedia passages, training examples and dev sets of its tasks, as in multi-task DPR.

Source: Petroni et al. 2021 (KILT), Maillard et al. 2021 (passages, tasks, BLEU filter). Files:
http://dl.fbaipublicfiles.com/KILT/ (kilt_knowledgesource.json, <task>-{train,dev}-kilt.jsonl).
Disk: about as much again as the knowledge source's 35 GB. Time on one core: 40 minutes for the
corpus, ten for T-REx (by the rates on made-up files: 14 MB/s and 4,500 lines/s); counts of a full
run: not yet known.

tart-jax prepare --config=configs/prepare/kilt.py --workdir=runs/kilt \
    --config.knowledge_source=kilt_knowledgesource.json \
    --config.tasks="('nq=nq-train-kilt.jsonl', 'fever=fever-train-kilt.jsonl')" \
    --config.dev_tasks="('nq=nq-dev-kilt.jsonl',)"
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.builder = "kilt"  # what is built
    config.seed = 0  # of the negatives and of the dev sets' other passages
    config.knowledge_source = ""  # kilt_knowledgesource.json, gzip or not
    config.tasks = ()  # training files, 'task=file' each
    config.dev_tasks = ()  # dev files, 'task=file' each
    config.triviaqa_inputs = ()  # TriviaQA's qa/wikipedia-{train,dev}.json: KILT has only its ids
    config.chunking = "words"  # 'words': blocks of them; 'sentences': whole ones, as KILT's chunker
    config.words = 100  # words of a passage; with 'sentences', the tokens it stays under
    config.cross_sections = True  # a block of words runs on into the next section (DPR)
    config.bleu = 0.5  # least BLEU of a gold place, and of a passage with it; 0: keep all
    config.num_negatives = 1  # random passages stored with each example, never of a gold page
    config.dev_documents = 10_000  # random passages in a dev set's own corpus; 0: no such corpus
    config.question_suffix = "?"  # put after a question that does not end in it (DPR); '': none
    config.mention_words = 64  # words kept about a mention, itself and its marks included; 0: all
    config.dialogue_turns = 0  # last turns kept of a dialogue; 0: all
    config.slot_separator = "[SEP]"  # between subject and relation
    config.mention_marks = ("[START_ENT]", "[END_ENT]")  # before and after a mention
    config.turn_separator = "\n"  # between the turns of a dialogue
    config.max_pages = 0  # pages to read; 0: all 5,903,530
    config.max_items = 0  # lines to read of each task file; 0: all
    if arg == "quicktest":
        config.max_pages = 20_000
        config.max_items = 2_000
        config.dev_documents = 500
    return config
