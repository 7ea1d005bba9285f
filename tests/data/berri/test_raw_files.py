"""Rows of raw files: gzip, zip, CSV with line ends in cells, and what is refused."""

import gzip
import zipfile

import pytest

from tart_jax.data.berri import raw_files
from tart_jax.types import InputError


def test_json_lines_are_read_gzipped_or_not_with_their_line_numbers(tmp_path):
    content = b'["a", "b"]\n\n{"c": 1}\n"d"\n'
    (tmp_path / "plain.jsonl").write_bytes(content)
    (tmp_path / "packed.jsonl").write_bytes(gzip.compress(content))
    expected = [(1, ["a", "b"]), (3, {"c": 1}), (4, "d")]
    assert list(raw_files.json_lines(tmp_path / "plain.jsonl")) == expected
    assert list(raw_files.json_lines(tmp_path / "packed.jsonl")) == expected
    (tmp_path / "other.jsonl").write_bytes(content.replace(b"1", b"2"))
    assert list(raw_files.json_lines(tmp_path / "other.jsonl")) != expected


def test_a_line_that_is_not_json_is_refused_with_file_and_line(tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text('["a", "b"]\n["c", "d"]\n["e", "f"\n')
    with pytest.raises(InputError, match=r"broken\.jsonl: line 3 is not JSON .*: '\[\"e\", \"f\"'"):
        list(raw_files.json_lines(path))


@pytest.mark.parametrize("line", ["[" * 100_000, "9" * 5000])
def test_json_too_deep_or_too_long_for_python_is_refused_with_its_line(tmp_path, line):
    path = tmp_path / "deep.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=r"deep\.jsonl: line 1 is not JSON"):
        list(raw_files.json_lines(path))


def test_csv_cells_hold_commas_quotes_line_ends_and_long_texts(tmp_path):
    path = tmp_path / "rows.csv"
    long = "x" * 200_000
    text = '\ufeff"3","A ""b"", c","two\nlines"\n\n4,plain,' + long + "\n"
    path.write_bytes(gzip.compress(text.encode()))
    assert list(raw_files.csv_rows(path)) == [
        (2, ["3", 'A "b", c', "two\nlines"]),
        (4, ["4", "plain", long]),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'a,"b\nc\n', r"rows\.csv: line 2 is not CSV"),
        (b"a,b\n\xff\xfe,c\n", r"rows\.csv: line \d or later is not UTF-8"),
        (gzip.compress(b"a,b\n" * 10_000, mtime=0)[:-20], r"rows\.csv: the gzip stream ends early"),
    ],
)
def test_a_csv_file_that_is_cut_or_not_utf8_is_refused(tmp_path, content, message):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(raw_files.csv_rows(path))


def test_quotes_mean_nothing_in_tsv(tmp_path):
    path = tmp_path / "rows.tsv"
    path.write_text('0\t"a\tb" c\n\n1\t\t\n')
    assert list(raw_files.tsv_rows(path)) == [(1, ["0", '"a', 'b" c']), (3, ["1", "", ""])]


def test_a_plain_file_is_its_own_member(tmp_path):
    path = tmp_path / "plain.tsv"
    path.write_text("PK")
    assert list(raw_files.members(path, "no such name")) == [path]


def test_members_of_an_archive_are_unpacked_one_at_a_time_and_go_away(tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/train/2.txt", "second")
        archive.writestr("a/train/1.txt", "first")
        archive.writestr("a/test/1.txt", "kept out")
        archive.writestr("__MACOSX/a/train/._1.txt", "junk")
        archive.writestr("../../train/3.txt", "third")
    seen, paths = [], []
    for member in raw_files.members(path, "*/train/*.txt"):
        assert not any(earlier.exists() for earlier in paths)
        assert path.name in str(member.parent)
        seen.append((member.name, member.read_text()))
        paths.append(member)
    assert seen == [("3.txt", "third"), ("1.txt", "first"), ("2.txt", "second")]
    assert not any(member.exists() for member in paths)


def test_an_archive_that_is_cut_or_lacks_the_member_is_refused(tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "text")
    with pytest.raises(InputError, match=r"all\.zip holds no member like '\*\.tsv'"):
        list(raw_files.members(path, "*.tsv"))
    whole = path.read_bytes()
    for broken in (whole[:-10], whole[:4] + whole[20:], whole.replace(b"text", b"tent")):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"all\.zip is a broken zip archive"):
            list(raw_files.members(path))


@pytest.mark.parametrize(
    ("content", "expected"),
    [('\n ["a"]\n', True), ('\ufeff{"a": 1}\n', True), ("3,a,b\n", False), ("", False)],
)
def test_json_is_told_by_its_first_character(tmp_path, content, expected):
    path = tmp_path / "file"
    path.write_text(content)
    assert raw_files.holds_json(path) is expected
