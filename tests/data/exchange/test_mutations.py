"""1,000 mutated inputs per importer: each is read, or refused with file and line; none is lost."""

import copy
import csv
import gzip
import io as stdio
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tart_jax.data import examples
from tart_jax.data.exchange.formats import FORMATS
from tart_jax.data.exchange.records import Read
from tart_jax.types import InputError

MUTATIONS = 1000  # per importer, shared by its layouts; never fewer than LEAST for one
LEAST = 400
# Complaints about a whole file or folder, which have no number to name.
WHOLE = ("holds no", "holds neither", "is gzip", "should hold one JSON list", "begins otherwise")
NUMBERED = re.compile(r"(line|record|item|query) \S+")


def context(name: str) -> dict:
    return {"title": f"Title {name}", "text": f"the text of {name}", "passage_id": name}


def dual() -> list:
    return [
        {
            "question": question,
            "positive_ctxs": [context(f"p{n}")],
            "negative_ctxs": [context(f"n{n}"), context(f"m{n}")],
            "hard_negative_ctxs": [context(f"h{n}") | {"ce_score": 0.01}],
        }
        for n, question in enumerate(["find it [SEP] what is an oak", "nan [SEP] elm", "an ash"])
    ]


def full() -> list:
    rows = [("a </s> oak", "d1", 1), ("a </s> oak", "d2", 0), ("b [SEP] elm", "d3", 0)]
    rows += [("b [SEP] elm", "d4", 1), ("fir", "d5", 1)]
    return [{"query": q, "document": f"text {d}", "label": label} for q, d, label in rows]


def berri() -> list:
    return [
        {"question": "what is an oak", "positive_ctxs": [{"text": ["a", "tree"], "title": "Oak"}],
         "negative_ctxs": [{"text": {"text": "an elm"}}]},
        {"target": "what is an elm", "positive_ctxs": [{"text": "a tree"}]},
        {"question": "what is an ash", "answers": ["a tree"]},
    ]  # fmt: skip


def kilt() -> list:
    place = {"wikipedia_id": "1", "start_paragraph_id": 1, "end_paragraph_id": 1, "title": "Oak"}
    return [
        {"id": "a", "input": "an oak", "output": [{"answer": "tree", "provenance": [place]}]},
        {"id": "b", "input": "elm [SEP] kind", "output": [{"provenance": [place]}, {"answer": ""}]},
        {"id": "c", "input": "what is an ash", "output": []},
    ]  # fmt: skip


def tevatron() -> list:
    def passage(name: str) -> dict:
        return {"docid": name, "title": "", "text": f"text of {name}"}

    return [
        {"query_id": f"q{n}", "query": f"query {n}", "positive_passages": [passage(f"p{n}")],
         "negative_passages": [passage(f"n{n}")]}
        for n in range(3)
    ]  # fmt: skip


def triplets() -> list:
    return [{"anchor": f"q{n}", "positive": f"p{n}", "negative": f"n{n}"} for n in range(4)]


def labelled() -> list:
    rows = [("a", "p", 1), ("a", "n", 0), ("b", "p", 0.7), ("c", "p", 0)]
    return [{"sentence1": q, "sentence2": d, "score": label} for q, d, label in rows]


def passages() -> list:
    return [
        {"_id": f"d{n}", "title": f"T{n}", "text": f"text {n}", "wikipedia_id": str(n // 2),
         "start_paragraph_id": n % 2, "end_paragraph_id": n % 2 + 1}
        for n in range(6)
    ]  # fmt: skip


def queries() -> list:
    return [{"_id": f"q{n}", "text": f"query {n}"} for n in range(3)]


def as_lines(values: list) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def as_list(values: list) -> bytes:
    return json.dumps(values, indent=0).encode()


def table(rows: list) -> bytes:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows).encode()


QRELS = [("query-id", "corpus-id", "score"), ("q0", "d0", 1), ("q0", "d1", 0), ("q1", "d2", 2),
         ("q2", "d9", 1)]  # fmt: skip
RUN = [(f"q{n // 3}", "Q0", f"d{(n * 2) % 5}", n % 3 + 1, 9 - n % 3, "x") for n in range(9)]
CSV = b'query,positive\n"a, b",one\nc,"two\nlines"\nd,"say ""x"""\n'


def plain(content: bytes) -> str:
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    return stdio.TextIOWrapper(stdio.BytesIO(content), "utf-8", newline="\n").read()


def count_lines(content: bytes) -> int:
    return sum(1 for line in plain(content).split("\n") if line.strip())


def count_json(content: bytes) -> int:
    text = plain(content).translate({11: " ", 12: " "})  # white space to ijson, not to json
    return len(json.loads(text)) if text.lstrip().startswith("[") else count_lines(content)


def count_csv(content: bytes) -> int:
    return max(0, sum(1 for row in csv.reader(stdio.StringIO(plain(content))) if row) - 1)


def count_parquet(content: bytes) -> int:
    import pyarrow.parquet as parquet

    return parquet.ParquetFile(stdio.BytesIO(content)).metadata.num_rows


def count_queries(header: int, separator: str | None) -> Callable[[bytes], int]:
    def count(content: bytes) -> int:
        lines = [line for line in plain(content).split("\n")[header:] if line.strip()]
        return len({line.split(separator)[0] for line in lines})

    return count


class Sample(NamedTuple):
    """Files of a data set by name; `target`: what is read; `records`: the file that is counted."""

    format: str
    files: dict[str, bytes]
    target: str
    records: str
    count: Callable[[bytes], int] = count_json
    options: dict = {}  # noqa: RUF012 (never changed)


def parquet_bytes() -> bytes:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    buffer = stdio.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(triplets() * 3), buffer, row_group_size=4)
    return buffer.getvalue()


BEIR = {"corpus.jsonl": as_lines(passages()), "queries.jsonl": as_lines(queries()),
        "qrels/train.tsv": table(QRELS)}  # fmt: skip
SAMPLES = {
    "tart_dual": Sample("tart_dual", {"a.jsonl": as_lines(dual())}, "a.jsonl", "a.jsonl"),
    "tart_dual list": Sample("tart_dual", {"a.json": as_list(dual())}, "a.json", "a.json"),
    "tart_full": Sample("tart_full", {"a.json": as_lines(full())}, "a.json", "a.json"),
    "berri_folder": Sample(
        "berri_folder",
        {"corpus.tsv": table([("id", "text", "title"), *((n, f"text\0{n}", "") for n in range(9))]),
         "qa_data.json": as_list(berri())},
        "", "qa_data.json", options={"random_negatives": 2},
    ),
    "dpr": Sample("dpr", {"a.json": as_list(dual())}, "a.json", "a.json"),
    "kilt": Sample(
        "kilt", {"a.jsonl": as_lines(kilt()), "corpus.jsonl": as_lines(passages())},
        "a.jsonl", "a.jsonl", options={"corpus": "{folder}/corpus.jsonl"},
    ),
    "beir": Sample("beir", BEIR, "", "qrels/train.tsv", count_queries(1, "\t"),
                   {"random_negatives": 2}),
    "pairs jsonl": Sample("pairs", {"a.jsonl": as_lines(triplets())}, "a.jsonl", "a.jsonl"),
    "pairs arrays": Sample("pairs", {"a.jsonl": as_lines([["q", "p", "n"], ["r", "s", "t"]])},
                           "a.jsonl", "a.jsonl", count_lines),
    "pairs labelled": Sample("pairs", {"a.json": as_list(labelled())}, "a.json", "a.json"),
    "pairs csv": Sample("pairs", {"a.csv": CSV}, "a.csv", "a.csv", count_csv),
    "pairs parquet": Sample("pairs", {"a.parquet": parquet_bytes()}, "a.parquet", "a.parquet",
                            count_parquet),
    "tevatron": Sample("tevatron", {"a.jsonl": as_lines(tevatron())}, "a.jsonl", "a.jsonl"),
    "msmarco texts": Sample(
        "msmarco", {"t.tsv": table([("q", "p", "n"), ("q", "p", "m"), ("r", "s", "t")])},
        "t.tsv", "t.tsv", count_lines,
    ),
    "msmarco ids": Sample(
        "msmarco",
        {"t.tsv": table([(1, 1, 2), (1, 1, 3), (2, 3, 1)]),
         "collection.tsv": table([(n, f"passage {n}") for n in range(4)]),
         "queries.tsv": table([(n, f"query {n}") for n in range(3)])},
        "t.tsv", "t.tsv", count_lines,
        {"corpus": "{folder}/collection.tsv", "queries": "{folder}/queries.tsv"},
    ),
    "trec_run": Sample(
        "trec_run", BEIR | {"run.trec": table(RUN).replace(b"\t", b" ")}, "run.trec", "run.trec",
        count_queries(0, None),
        {"corpus": "{folder}", "queries": "{folder}", "qrels": "{folder}/qrels/train.tsv"},
    ),
}  # fmt: skip


def deep(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


ODD = [None, True, 0, 1, -1.5, 10**30, "", " ", "nan [SEP] x", "\0", "\ud800", "x\x85y\u2028z", [],
       {}, [[["x"]]], ["x", 3], {"text": ["a"]}, deep(60), "long " * 500]  # fmt: skip


ODD_BYTES = [b"\0", b"\xff\xfe", b"\xc3", b"\r", b"\n", b'"', b"[", b"]", b"{", b"}", b",", b"\\",
             b"9" * 5000, b"[" * 20000, b"NaN"]  # fmt: skip


def places(value: object, found: list | None = None) -> list:
    """(container, key) of everything inside a JSON value."""
    found = [] if found is None else found
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        found.append((value, key))
        places(value[key], found)
    return found


def mutated_json(content: bytes, rng: random.Random) -> bytes:
    text = content.decode()
    is_list = text.startswith("[\n") or text.startswith("[{")
    value = json.loads(text) if is_list else [json.loads(line) for line in text.splitlines()]
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(places(value) or [([0], 0)])
        act = rng.randrange(5)
        if act == 0:
            del container[key]
        elif act == 1 and isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        elif act == 2:
            other, there = rng.choice(places(value))
            container[key] = copy.deepcopy(other[there])
        else:
            container[key] = copy.deepcopy(rng.choice(ODD))
    return as_list(value) if is_list else as_lines(value)


def mutated_lines(content: bytes, rng: random.Random) -> bytes:
    rows = [line.split(b"\t") for line in content.split(b"\n")]
    row = rng.choice(rows)
    column = rng.randrange(len(row))
    act = rng.randrange(6)
    if act == 0:
        rows.append(list(row))
    elif act == 1:
        del row[column]
    elif act == 2:
        row[column] = rng.choice([b"", b" ", b"\0", b"9" * 30, b"-1", b"\xff", b'"', b"x y", b"\r"])
    elif act == 3:
        row.append(b"more")
    elif act == 4:
        rng.shuffle(rows)
    else:
        rows.remove(row)
    return b"\n".join(b"\t".join(row) for row in rows)


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    stop = min(len(content), start + rng.randint(1, 20))
    act = rng.randrange(12)
    if act == 0:
        return content[:start]
    if act == 1:
        return content[:start] + rng.randbytes(rng.randint(1, 4)) + content[start:]
    if act == 2:
        return content[:start] + rng.choice(ODD_BYTES) + content[stop:]
    if act == 3:
        return content[:start] + content[stop:]
    if act == 4:
        return rng.choice([b"", b"\n\n", b"\0", b"[]", b"{}", b"null", b"\xef\xbb\xbf" + content])
    if act == 5:
        return gzip.compress(content)
    if act == 6:
        packed = gzip.compress(content)
        return packed[: rng.randrange(2, len(packed))]
    if act == 7:
        packed = bytearray(gzip.compress(content))
        packed[rng.randrange(2, len(packed))] ^= 1 << rng.randrange(8)
        return bytes(packed)
    if act == 8:
        return content + content
    if act == 9:
        return content[start:] + content[:start]
    changed = bytearray(content)
    for _ in range(rng.randint(1, 5)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def mutate(name: str, content: bytes, rng: random.Random) -> bytes:
    by_structure = mutated_json if ".json" in name else mutated_lines
    if name.endswith(".parquet") or rng.random() < 0.5:
        return mutated_bytes(content, rng)
    return by_structure(content, rng)


def settled(options: dict, folder: Path) -> dict:
    return {
        key: value.format(folder=folder) if isinstance(value, str) else value
        for key, value in options.items()
    }


def outcome(sample: Sample, folder: Path, read: Callable) -> tuple[int, InputError | None]:
    """Records accounted for, or the refusal."""
    total = 0
    try:
        for item in read(folder / sample.target, task="t", **settled(sample.options, folder)):
            total += item.records
            if isinstance(item, Read):
                record = examples.to_record(item.example)
                assert examples.parse(record, "here") == item.example
                json.dumps(record, ensure_ascii=False).encode("utf-8")
    except InputError as error:
        return total, error
    return total, None


def fuzz(name: str, folder: Path, read: Callable, mutations: int) -> tuple[int, int]:
    """How many mutations were read and refused; fails on any other end of one."""
    sample, rng = SAMPLES[name], random.Random(name)
    for file, content in sample.files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(content)
    refused = 0
    for number in range(mutations):
        # The file of the records is what is mutated most often.
        file = rng.choice([sample.records, sample.records, *sample.files])
        content = mutate(file, sample.files[file], rng)
        (folder / file).write_bytes(content)
        what = f"mutation {number} of {file}: {content[:2000]!r}"
        try:
            total, error = outcome(sample, folder, read)
        except Exception as error:
            raise AssertionError(what) from error
        if error is None:
            assert total == sample.count((folder / sample.records).read_bytes()), what
        else:
            said = str(error)
            assert str(folder) in said, f"{said} {what}"
            assert NUMBERED.search(said) or any(w in said for w in WHOLE), f"{said} {what}"
            refused += 1
        (folder / file).write_bytes(sample.files[file])
    return mutations - refused, refused


@pytest.mark.parametrize("name", SAMPLES)
def test_a_mutated_input_is_read_in_full_or_refused_with_its_place(name, tmp_path):
    layouts = sum(sample.format == SAMPLES[name].format for sample in SAMPLES.values())
    mutations = max(MUTATIONS // layouts, LEAST)
    read, refused = fuzz(name, tmp_path, FORMATS[SAMPLES[name].format].read, mutations)
    assert min(read, refused) > mutations / 20, (read, refused)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_read_in_full(name, tmp_path):
    sample = SAMPLES[name]
    for file, content in sample.files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(content)
    count = sample.count(sample.files[sample.records])
    assert outcome(sample, tmp_path, FORMATS[sample.format].read) == (count, None)


def losing(path, *, task):
    """A reader that drops a record without a word."""
    yield from list(FORMATS["dpr"].read(path, task=task))[1:]


def crashing(path, *, task):
    """A reader that lets a KeyError out of the depth."""
    for number, value in enumerate(json.loads(path.read_bytes())):
        value["positive_ctxs"]
        yield from FORMATS["dpr"].read(path, task=task) if number == 0 else ()


def unplaced(path, *, task):
    """A reader that refuses without file and record."""
    try:
        yield from list(FORMATS["dpr"].read(path, task=task))
    except InputError as error:
        raise InputError("bad data") from error


@pytest.mark.parametrize("reader", [losing, crashing, unplaced])
def test_a_reader_that_breaks_its_promise_is_caught(reader, tmp_path):
    with pytest.raises(AssertionError):
        fuzz("dpr", tmp_path, reader, 200)
