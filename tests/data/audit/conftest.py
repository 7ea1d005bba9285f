"""Training data with every fault planted a known number of times, and clean data."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

WORDS = "oak elm ash fir yew bay fig nut ivy rye oat hop tea rue box may bee cow dog ant".split()
INSTRUCTIONS = "task\tintent\tdomain\tunit\tinstruction_1\n"


def text(number: int) -> str:
    """A text that shares no run of five words with that of another number."""
    return f"number {number} tells of " + " ".join(
        f"{WORDS[(number * 7 + place * 3) % 20]}{number}x{place}" for place in range(20)
    )


def doc(number: int, doc_id: str = "", **fields: str) -> dict:
    return {"doc_id": doc_id or f"d{number}", "title": "", "text": text(number)} | fields


def example(number: int, task: str = "a", **fields) -> dict:
    """A clean example; examples of different numbers share nothing."""
    return {
        "task": task,
        "query_id": f"q{number}",
        "query": f"what is told of number {number}",
        "positives": [doc(number * 10)],
        "negatives": [doc(number * 10 + 1), doc(number * 10 + 2)],
        "hard_negatives": [doc(number * 10 + 3)],
        "unfollowing_negatives": [],
    } | fields


def clean(count: int = 40) -> list[dict]:
    return [example(number, "ab"[number % 2]) for number in range(1, count + 1)]


def write(path: Path, records: list) -> Path:
    """One line per record; a string stands as it is."""
    lines = (line if isinstance(line, str) else json.dumps(line) for line in records)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def write_test(folder: Path) -> Path:
    """A BEIR folder whose query and first document are planted as leaks."""
    (folder / "qrels").mkdir(parents=True)
    write(folder / "queries.jsonl", [{"_id": "t1", "text": "Is this  a TEST query"}])
    write(folder / "corpus.jsonl", [{"_id": "t2", "text": text(9000)}])
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nt1\tt2\t1\n")
    return folder


def write_table(path: Path) -> Path:
    rows = "a\tfind\tbooks\tchapter\tFind it.\nb\tfind\tweb\tpage\tFind it, too.\n"
    path.write_text(INSTRUCTIONS + rows)
    return path


def faulty() -> tuple[list, dict[str, int]]:
    """Records, and the exact count of every fault among them."""
    records = [
        *clean(),
        "{no json",
        example(100) | {"query": 7},
        example(101, negatives=["a mere text"]),
        example(102) | {"score": 1},
        example(103, query=" \t"),
        example(104, positives=[]),
        example(105, negatives=[doc(0, "e1", text=""), doc(0, "e2", text=" \n ")]),
        *(example(n, query=f"nan [SEP] what of number {n}") for n in (106, 107, 108)),
        example(109, instruction="nan"),
        example(110, query="[SEP] what of number 110"),
        example(111, query="Find it. [SEP] "),
        example(112, query="Find it. [SEP] [SEP] what of number 112"),
        example(113, query="Find it. [sep] what of number 113"),
        example(114, query="Find it. [SEP] what of number 114", instruction="Find it."),
        example(115, positives=[doc(1150, text="it says [SEP] and </s>")]),
        example(116, "c"),
        example(117, "c", query="Find it. [SEP] what of number 117"),
        example(118, negatives=[doc(1181), doc(1180)]),
        example(119, hard_negatives=[doc(1190, "other", text=text(1190).upper())]),
        example(120),
        *(example(120) | {"query_id": f"q120-{copy}"} for copy in (1, 2)),
        example(121),
        example(121) | {"positives": [doc(1214)], "query_id": "q121-1"},
        example(122, negatives=[doc(1221), doc(1221, "d1221-copy")]),
        example(123, negatives=[doc(1231), doc(1234, "d1231")]),
        example(124),
        example(124, query="what else of 124", positives=[doc(1244)], negatives=[]),
        example(125, query="who won in 125", positives=[doc(1250)], negatives=[doc(1251)]),
        example(125, query="who won in 125", positives=[doc(1251)], negatives=[doc(1250)])
        | {"query_id": "q125-1"},
        example(127, query="is this a test query"),
        example(128, query="Find it. [SEP] is this a test query"),
        example(129, negatives=[doc(1291), doc(9000)]),
        example(130, positives=[doc(9000, text=text(9000).upper())]),
        example(131, negatives=[doc(1311, text="so " + text(9000) + " it ends")]),
        example(132, positives=[doc(1320, text="lost \ufffd letters")]),
        example(133, positives=[doc(1330, text="the cafÃ© and the â€œquoteâ€\u009d")]),
        example(134, query="what\x00 of number 134", positives=[doc(1340, text="a\x0cpage")]),
        example(135, positives=[doc(1350, text="half a pair \ud83d here")]),
        example(136, positives=[doc(1360, text="base " + "QUJD" * 30)]),
        example(137, positives=[doc(1370, text="все счастливые семьи похожи")]),
    ]
    return records, COUNTS


COUNTS = {
    "malformed": 3,
    "unknown_key": 1,
    "empty_query": 1,
    "no_positive": 1,
    "empty_document": 2,
    "nan_instruction": 4,
    "leading_separator": 1,
    "trailing_separator": 1,
    "repeated_separator": 1,
    "lowered_separator": 1,
    "instruction_twice": 1,
    "special_in_document": 1,
    "missing_instruction": 1,
    "positive_is_negative_id": 1,
    "positive_is_negative_text": 1,
    "duplicate_example": 2,
    "duplicate_query": 2,
    "duplicate_document": 2,
    "conflicting_id": 1,
    "conflicting_query_id": 1,
    "conflicting_duplicate": 2,
    "dangling_judgement": 0,
    "conflicting_judgement": 0,
    "leaked_query": 2,
    "leaked_document": 2,
    "ngram_leak": 1,
    "replacement_character": 1,
    "mojibake": 1,
    "control_character": 3,
    "lone_surrogate": 1,
    "long_word": 1,
    "mostly_non_latin": 1,
}


@pytest.fixture(scope="session")
def planted() -> SimpleNamespace:
    """What this file makes, for tests that cannot import it."""
    made = (text, doc, example, clean, write, write_test, write_table, faulty)
    return SimpleNamespace(COUNTS=COUNTS, **{function.__name__: function for function in made})
