"""A hand-made knowledge source and task files in KILT's own layout, and mutations of lines."""

import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

OAK = [
    "Oak\n",
    "An oak is a tree. It bears acorns in autumn.\n",
    "Section::::Uses.\n",
    "BULLET::::- ships of the navy\n",
    "BULLET::::2. barrels for wine\n",
    "Section::::Names.:Old names.\n",
    "Ёлка and 東京  are\u00a0names, café too.\n",
]
# The words of the page as a reader would list them, without title, headings and list marks.
OAK_WORDS = (
    "An oak is a tree. It bears acorns in autumn. ships of the navy barrels for wine"
    " Ёлка and 東京 are names, café too."
).split()


def page_record(wikipedia_id: Any, paragraphs: list[str], **fields: Any) -> dict[str, Any]:
    return {
        "_id": wikipedia_id,
        "wikipedia_id": wikipedia_id,
        "wikipedia_title": paragraphs[0].strip(),
        "text": paragraphs,
        "anchors": [{"text": "tree", "href": "Tree", "paragraph_id": 1, "start": 12, "end": 16}],
        "categories": "Trees,Wood",
        "history": {"pageid": 1, "url": "https://en.wikipedia.org/w/index.php?title=Oak"},
        "wikidata_info": {"wikidata_id": "Q12004", "description": None},
    } | fields


@pytest.fixture
def oak() -> dict[str, Any]:
    return page_record("101", list(OAK))


@pytest.fixture
def oak_words() -> list[str]:
    return list(OAK_WORDS)


@pytest.fixture
def page_records(oak) -> list[dict[str, Any]]:
    """Four pages; 300 has no text, 7 is a number and has no Wikidata entry."""
    long_line = " ".join(f"w{number}" for number in range(12)) + ".\n"
    return [
        oak,
        page_record(7, ["Elm\n", "The elm is tall. Its wood is hard.\n", long_line]),
        page_record("300", ["Nothing\n"]),
        page_record("12", ["Ash\n", "Ash burns well when it is dry or green alike.\n"]),
    ]


@pytest.fixture
def write_lines(tmp_path) -> Callable[..., Path]:
    def write(name: str, records: list[Any]) -> Path:
        opener = gzip.open if name.endswith(".gz") else open
        with opener(tmp_path / name, "wt", encoding="utf-8") as file:
            for record in records:
                file.write((record if isinstance(record, str) else json.dumps(record)) + "\n")
        return tmp_path / name

    return write


@pytest.fixture
def source(write_lines, page_records) -> Path:
    return write_lines("kilt_knowledgesource.json", page_records)


def place(page: Any, *span: int, **fields: Any) -> dict[str, Any]:
    """A provenance; span: start paragraph, start character, end paragraph, end character."""
    keys = ("start_paragraph_id", "start_character", "end_paragraph_id", "end_character")
    return {"wikipedia_id": page, "title": "x"} | dict(zip(keys, span, strict=False)) | fields


@pytest.fixture
def provenance() -> Callable[..., dict[str, Any]]:
    return place


@pytest.fixture
def nq_records() -> list[dict[str, Any]]:
    """One item of each kind that KILT has, and some that cannot be mapped."""
    return [
        {"id": "q1", "input": "what is an oak",
         "output": [{"answer": "a tree", "provenance": [place("101", 1, 0, 1, 17, bleu_score=1.0)]},
                    {"answer": "a plant"}], "meta": {}},
        {"id": "only answers", "input": "who", "output": [{"answer": "me"}]},
        {"id": "no output", "input": "who"},
        {"id": "empty provenance", "input": "who", "output": [{"answer": "a", "provenance": []}]},
        {"id": "no answer", "input": "elm?", "output": [{"provenance": [place("7", 1, 4, 1, 7)]}]},
        {"id": "low score", "input": "x",
         "output": [{"answer": "a", "provenance": [place("7", 1, 0, 1, 9, bleu_score=0.49)]}]},
        {"id": "unknown page", "input": "x",
         "output": [{"answer": "a", "provenance": [place("999", 1, 0, 1, 9)]}]},
        {"id": "title", "input": "x",
         "output": [{"answer": "a", "provenance": [place("7", 0, 0, 0, 3)]}]},
        {"id": "two pages", "input": "x",
         "output": [{"answer": "a", "provenance": [place("12", 1, 0, 1, 14), place("7")]}]},
    ]  # fmt: skip


def mutations(record: dict[str, Any], number: int) -> Iterator[bytes]:
    """`number` damaged lines: a value replaced or removed anywhere, or bytes cut or changed."""
    values = [None, True, -3, 2.5, "", " ", "x", "７", [], {}, [None], {"a": 1}, float("nan"),
              10**30, "\ud800", "1" * 5000]  # fmt: skip
    for seed in range(number):
        draw = random.Random(seed)
        copy = json.loads(json.dumps(record))
        if seed % 3:
            holder: Any = copy
            while True:
                key = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
                inner = holder[key]
                if isinstance(inner, dict | list) and inner and draw.random() < 0.7:
                    holder = inner
                    continue
                if seed % 3 == 1:
                    holder[key] = draw.choice(values)
                else:
                    del holder[key]
                break
            yield json.dumps(copy).encode()
        else:
            line = bytearray(json.dumps(copy, ensure_ascii=False).encode())
            at = draw.randrange(len(line))
            if draw.random() < 0.5:
                del line[at:]
            else:
                line[at] = draw.randrange(256)
            yield bytes(line).replace(b"\n", b" ").replace(b"\r", b" ")


@pytest.fixture
def mutated() -> Callable[[dict[str, Any], int], Iterator[bytes]]:
    return mutations
