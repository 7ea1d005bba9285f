"""CodeSearchNet: comments to code, from its own records and its own archive."""

import gzip
import zipfile
from collections import Counter

import pytest

from tart_jax.data.berri import code
from tart_jax.data.berri.task import Dropped, Instance, Text
from tart_jax.types import InputError

CONVERT = {task.name: task.convert for task in code.TASKS}

# The fields, in the order and with the names of the source's own records.
RECORD = (
    r'{"repo": "o/r", "path": "a/B.x", "func_name": "B.get", "original_string": "...", '
    r'"language": "%s", "code": "%s", "code_tokens": ["get"], "docstring": "%s", '
    r'"docstring_tokens": ["Returns"], "sha": "0", '
    r'"url": "https://github.com/o/r/blob/0/a/B.x#L1-L3", "partition": "train"}'
)


def split(made):
    made = list(made)
    kept = [thing for thing in made if not isinstance(thing, Dropped)]
    return kept, Counter(thing.reason for thing in made if isinstance(thing, Dropped))


def raw(language):
    return "\n".join(
        (
            RECORD % (language, r"get() {\n  return 1;\n}", r"Returns the first of all items."),
            RECORD % (language, r"// Adds\n// two numbers\nadd() {}", r"Adds\ntwo numbers"),
            RECORD % (language, "", "A comment without code"),
            RECORD % (language, "undocumented() {}", ""),
            RECORD % ("python", "def get(): pass", "Returns the first of all items."),
            RECORD % (language, r"nul() {\u0000}", r"Short \u0000"),
            RECORD % (language, r"// All of it\n// is comment", r"All of it\nis comment"),
            '{"language": "LANGUAGE", "code": "get() {}"}'.replace("LANGUAGE", language),
            '{"language": "LANGUAGE", "docstring": "No code at all"}'.replace("LANGUAGE", language),
            '{"language": "LANGUAGE", "docstring": ["a"], "code": "get() {}"}'.replace(
                "LANGUAGE", language
            ),
            '{"language": "LANGUAGE", "docstring": "A list", "code": ["get() {}"]}'.replace(
                "LANGUAGE", language
            ),
            '{"docstring": "No language", "code": "get() {}"}',
            '["a comment", "get() {}"]',
            "",
        )
    )


def instances(file):
    return [
        Instance(
            f"{file}:1", "Returns the first of all items.", (Text("get() {\n  return 1;\n}"),)
        ),
        Instance(f"{file}:2", "Adds\ntwo numbers", (Text("add() {}"),)),
        Instance(f"{file}:6", "Short \0", (Text("nul() {\0}"),)),
    ]


DROPS = {
    "missing docstring": 1, "missing code": 1, "empty code": 1, "empty docstring": 1,
    "another language": 1, "empty code but for the comment": 1, "docstring is no text": 1,
    "code is no text": 1, "missing language": 1, "no object": 1,
}  # fmt: skip


def test_the_tasks_are_11_to_14_of_table_5_without_python():
    assert {task.name: task.number for task in code.TASKS} == {
        "codesearch_java": 11, "codesearch_ruby": 12, "codesearch_javascript": 13,
        "codesearch_go": 14,
    }  # fmt: skip


@pytest.mark.parametrize("language", ["java", "ruby", "javascript", "go"])
def test_comments_ask_for_the_code_of_their_language(tmp_path, language):
    path = tmp_path / f"{language}_train_0.jsonl.gz"
    path.write_bytes(gzip.compress(raw(language).encode()))
    kept, dropped = split(CONVERT[f"codesearch_{language}"]((path,)))
    assert kept == instances(path.name)
    assert dropped == DROPS
    path.write_bytes(gzip.compress(raw(language).replace("first", "last").encode()))
    assert split(CONVERT[f"codesearch_{language}"]((path,)))[0] != kept


@pytest.mark.parametrize("language", ["java", "ruby", "javascript", "go"])
def test_of_the_archive_the_training_files_alone_are_read(tmp_path, language):
    path = tmp_path / f"{language}.zip"
    folder = f"{language}/final/jsonl"
    held_out = RECORD % (language, "held_out() {}", "This function is for evaluation.")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{language}_dedupe_definitions_v2.pkl", b"\x80\x04never opened")
        for number in (1, 0):
            content = gzip.compress(raw(language).encode())
            archive.writestr(f"{folder}/train/{language}_train_{number}.jsonl.gz", content)
        for part in ("test", "valid"):
            content = gzip.compress(held_out.encode())
            archive.writestr(f"{folder}/{part}/{language}_{part}_0.jsonl.gz", content)
    kept, dropped = split(CONVERT[f"codesearch_{language}"]((path,)))
    first, second = (f"{language}_train_{number}.jsonl.gz" for number in (0, 1))
    assert kept == instances(first) + instances(second)
    assert dropped == {reason: 2 * count for reason, count in DROPS.items()}


def test_a_file_of_another_language_is_refused(tmp_path):
    path = tmp_path / "java_train_0.jsonl.gz"
    path.write_bytes(gzip.compress(raw("java").encode()))
    with pytest.raises(InputError, match=r"java_train_0\.jsonl\.gz: line 1: another language"):
        list(CONVERT["codesearch_go"]((path,)))


def test_a_broken_line_inside_the_archive_is_refused_with_archive_member_and_line(tmp_path):
    path = tmp_path / "go.zip"
    lines = [RECORD % ("go", "f() {}", "Does what f does.")] * 2 + ['{"language": "go"']
    with zipfile.ZipFile(path, "w") as archive:
        content = gzip.compress("\n".join(lines).encode())
        archive.writestr("go/final/jsonl/train/go_train_0.jsonl.gz", content)
    message = r"go\.zip-[^/]*/go_train_0\.jsonl\.gz: line 3 is not JSON"
    with pytest.raises(InputError, match=message):
        list(CONVERT["codesearch_go"]((path,)))


@pytest.mark.parametrize(
    ("before", "comment", "after"),
    [
        ("/**\n * Gets it.\n *\n * @return it\n */\nint get() {}", "Gets it.\n@return it",
         "int get() {}"),
        ("# Gets it\n# at once\ndef get\nend", "Gets it\n at once", "def get\nend"),
        ("func get() {\n\t// Gets it\n\t// or fails\n\treturn\n}", "Gets it",
         "func get() {\n\treturn\n}"),
        ("// Getter\nfunc get() {}", "Gets it", "// Getter\nfunc get() {}"),
        ('  get() { print("Gets it"); }', "Gets it", '  get() { print("Gets it"); }'),
        ("// any\nget() {}", "*/", "// any\nget() {}"),
    ],
)  # fmt: skip
def test_the_comment_is_taken_out_of_the_code_and_nothing_else(before, comment, after):
    assert code.without_comment(before, comment) == after
