"""A small KILT-like world of real records and derived ones, for multi-task DPR on one machine.

Real: HotpotQA, SQuAD (in the place of nq), Climate-FEVER (of fever). Derived by rule, and marked so
in each item: entity linking (aidayago2), slot filling (structured_zeroshot), dialogue (wow).
Paragraphs are single sentences, so that passages of some of them differ from pages.

tart-jax prepare --config=configs/prepare/kilt_world.py --workdir=runs/kilt_world/raw \\
    --config.root=FOLDER_OF_COLLECTIONS
Then configs/prepare/kilt.py makes passages and examples of it; scripts/kilt_world.sh does all.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.builder = "kilt_world"  # what is built
    config.root = ""  # the files below stand here
    config.hotpotqa = (
        "berri-pieces/hotpotqa_amor_dev.jsonl.gz",
        "berri-pieces/hotpotqa_amor_test.jsonl.gz",
    )  # questions with context and supporting_facts
    config.squad = "berri-pieces/squad_routerlens_dev.jsonl.gz"  # context, question, answer
    config.climate_fever = "berri-pieces/climate_fever_original.jsonl.gz"  # claims, evidences
    config.max_train = 1_500  # items of a task to train on; 0: all
    config.max_dev = 150  # items of a task to test on; 0: all
    config.max_derived = 4_000  # items derived of a task before they are divided and drawn
    config.seed = 0  # of the draw
    if arg == "quicktest":
        config.max_train = 20
        config.max_dev = 5
        config.max_derived = 100
    return config
