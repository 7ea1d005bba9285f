"""The small world is in KILT's format, by the rules it states; no text is on both sides."""

import json

import pytest

from tart_jax import io
from tart_jax.data.kilt import build, world
from tart_jax.data.kilt.tasks import read_items
from tart_jax.types import InputError

TASKS = ("hotpotqa", "nq", "fever", "aidayago2", "structured_zeroshot", "wow")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    names = [f"Northern Station {n}" for n in range(30)]
    contexts = [
        [name, [f"{name} is a railway station located in Old Town.", " It was founded in 1901.",
                f" A line leads to {names[(n + 1) % 30]} and further."]]
        for n, name in enumerate(names)
    ]  # fmt: skip
    io.write_jsonl(folder / "hotpot.jsonl", [
        {"question": f"Which line joins {names[n]} and the next?", "answer": "a line",
         "context": contexts[n : n + 2],
         "supporting_facts": [[names[n], [0, 2], ["unused"]], [names[n + 1], 1]]}
        for n in range(29)
    ] + [{"question": "Lost?", "answer": "x", "context": contexts[:1],
          "supporting_facts": [["Nowhere", 0]]}])  # fmt: skip
    paragraph = "The tide number {} is high at noon. It falls to 3 feet at night. Ships wait."
    io.write_jsonl(folder / "squad.jsonl", [
        {"context": paragraph.format(n), "question": f"{q} {n}?", "answer": answer}
        for n in range(20)
        for q, answer in (("When is tide high, number", "noon"), ("How low is tide", "3 feet"))
    ])  # fmt: skip
    io.write_jsonl(folder / "climate.jsonl", [
        {"claim": f"Ice melts, claim {n}.", "claim_label": label, "evidences": [
            {"evidence_id": f"Ice {n}:7", "article": f"Ice {n}", "evidence": f"Ice {n} melts now.",
             "evidence_label": label},
            {"evidence_id": f"Ice {n}:2", "article": f"Ice {n}", "evidence": f"Ice {n} is cold.",
             "evidence_label": "NOT_ENOUGH_INFO"}]}
        for n, label in enumerate(["SUPPORTS", "REFUTES", "DISPUTED"] * 8)
    ])  # fmt: skip
    return folder


def make(root, out, **changes):
    options = dict(root=str(root), hotpotqa=("hotpot.jsonl",), squad="squad.jsonl",
                   climate_fever="climate.jsonl", max_train=0, max_dev=0, max_derived=1000,
                   seed=0)  # fmt: skip
    return world.run(out, **options | changes)


def items(out, task):
    return {
        split: [item for _, item in read_items(out / f"{task}-{split}-kilt.jsonl")]
        for split in ("train", "dev")
    }


def records(out, task):
    return [r for s in ("train", "dev") for _, r in io.read_jsonl(out / f"{task}-{s}-kilt.jsonl")]


def test_real_items_point_to_the_sentences_that_hold_them(root, tmp_path):
    make(root, tmp_path / "w")
    pages = {p["wikipedia_id"]: p for _, p in io.read_jsonl(tmp_path / "w" / "source.json")}
    assert len(records(tmp_path / "w", "hotpotqa")) == 29  # one names a page that is not there
    for record in records(tmp_path / "w", "nq"):
        (output,) = record["output"]
        (place,) = output["provenance"]
        page = pages[place["wikipedia_id"]]
        assert output["answer"] in page["text"][place["start_paragraph_id"]]
        assert page["text"][0].split() == page["text"][1].split()[:4]
    claims = records(tmp_path / "w", "fever")
    assert len(claims) == 16 and {o["answer"] for c in claims for o in c["output"]} == {
        "SUPPORTS", "REFUTES"
    }  # fmt: skip
    for claim in claims:
        (output,) = claim["output"]
        (place,) = output["provenance"]
        line = pages[place["wikipedia_id"]]["text"][place["end_paragraph_id"]]
        assert line.endswith("melts now.") and place["end_paragraph_id"] == 2  # in their order


def test_derived_items_follow_their_rules_and_say_so(root, tmp_path):
    make(root, tmp_path / "w")
    pages = {p["wikipedia_id"]: p for _, p in io.read_jsonl(tmp_path / "w" / "source.json")}
    links = records(tmp_path / "w", "aidayago2")
    assert len(links) == 30
    for link in links:
        mention = link["input"].split("[START_ENT] ")[1].split(" [END_ENT]")[0]
        (place,) = link["output"][0]["provenance"]
        assert pages[place["wikipedia_id"]]["wikipedia_title"] == mention
    slots = {
        r["input"]: r["output"][0]["answer"] for r in records(tmp_path / "w", "structured_zeroshot")
    }
    assert slots["Northern Station 3 [SEP] instance of"] == "railway station located in Old Town"
    assert slots["Northern Station 3 [SEP] located in"] == "Old Town"
    turns = records(tmp_path / "w", "wow")
    assert turns[0]["input"].count("\n") == 2 and turns[0]["output"][0]["answer"].endswith("night.")
    for task in ("aidayago2", "structured_zeroshot", "wow"):
        assert all(record["meta"]["derived"] for record in records(tmp_path / "w", task))
    assert not any("meta" in record for record in records(tmp_path / "w", "nq"))


def test_no_text_and_no_page_of_squad_is_on_both_sides(root, tmp_path):
    make(root, tmp_path / "w")
    texts = {"train": set(), "dev": set()}
    pages = {"train": set(), "dev": set()}
    for task in TASKS:
        for split, own in items(tmp_path / "w", task).items():
            texts[split] |= {item.input.casefold() for item in own}
            if task in ("nq", "wow"):
                pages[split] |= {p.wikipedia_id for item in own for p in item.provenance()}
    assert not texts["train"] & texts["dev"] and not pages["train"] & pages["dev"]
    assert texts["train"] and texts["dev"]


def test_a_kilt_folder_can_be_built_of_it_and_it_is_made_once(root, tmp_path):
    out = tmp_path / "w"
    make(root, out, max_train=10, max_dev=5)
    stamp = (out / "source.json").stat().st_mtime_ns
    make(root, out, max_train=10, max_dev=5)
    assert (out / "source.json").stat().st_mtime_ns == stamp
    files = {t: out / f"{t}-train-kilt.jsonl" for t in ("nq", "fever", "aidayago2")}
    build.run(tmp_path / "k", knowledge_source=out / "source.json", tasks=files, words=20)
    parts = json.loads((tmp_path / "k" / "kilt.json").read_text())["parts"]
    assert parts["train/nq"]["kept"] == parts["train/nq"]["lines"] == 10


def test_another_file_is_refused(root, tmp_path):
    (root / "squad.jsonl").write_text('{"context": "a"}\n')
    with pytest.raises(InputError, match="line 1 needs context, question, answer"):
        make(root, tmp_path / "w")
    assert not (tmp_path / "w").exists()
