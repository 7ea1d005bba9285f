import ast
from collections import Counter
from pathlib import Path

import pytest

from tart_jax.data import python_sources
from tart_jax.types import InputError


def read(source: str | bytes, drops: Counter | None = None) -> dict[str, python_sources.Function]:
    data = source.encode() if isinstance(source, str) else source
    module = python_sources.read_module("m", data, Counter() if drops is None else drops)
    return {function.name: function for function in module.functions}


@pytest.mark.parametrize("name", ["textwrap", "posixpath", "heapq", "tarfile", "asyncio.tasks"])
def test_the_extracted_source_is_the_function_without_its_docstring(name):
    text = dict(python_sources.standard_library())[name].read_text("utf-8")
    checked = 0
    for _, node in python_sources._definitions(ast.parse(text), ""):
        if isinstance(node, ast.ClassDef) or not ast.get_docstring(node):
            continue
        source = python_sources._source(node, text.split("\n"))
        if source:
            with_docstring = ast.dump(node)
            node.body = node.body[1:]
            extracted = ast.dump(ast.parse(source).body[0])
            assert extracted == ast.dump(node) != with_docstring
            checked += 1
    assert checked > 3


ODD = '''
import abc

class Box:
    """A box that holds things."""

    @property
    def lid(self):
        """The lid of the box."""
        return self.open_the_lid_of_the_box()

    @lid.setter
    def lid(self, value):
        """Put another lid on the box."""
# a comment at column 0
        self.replace_the_lid_of_the_box(value)

if abc:
    async def carry(box: Box, *, far: bool = False) -> "int | None":
        """Carry a box, e.g. home.  More of the first paragraph.

        Details.

        >>> carry(box)
        """
        text = """
at column 0"""
        return await box.carried_by_somebody(text)

def tiny(): "One line, with its code."; return sum(range(10)) + sum(range(20)) + sum(range(30))

def empty():
    """Nothing but a docstring."""

def silent():
    return 1
'''


def test_odd_functions_are_read():
    drops = Counter()
    functions = read(ODD, drops)
    assert list(functions) == ["Box.lid", "Box.lid#2", "carry", "tiny", "empty"]
    assert functions["Box.lid"].source.startswith("@property\ndef lid(self):\n    return")
    assert "replace_the_lid" in functions["Box.lid#2"].source
    carry = functions["carry"]
    assert carry.signature == "async m.carry(box: Box, *, far: bool=False) -> 'int | None'"
    assert (carry.summary, carry.details) == (
        "Carry a box, e.g. home.", "More of the first paragraph.\n\nDetails."
    )  # fmt: skip
    assert "at column 0" in carry.source and "Carry" not in carry.source
    assert (
        "One line" not in functions["tiny"].source and "sum(range(30))" in functions["tiny"].source
    )
    assert functions["empty"].source == ""
    assert drops == {"no_docstring": 1}


def test_coding_lines_and_byte_order_marks_are_obeyed():
    code = 'def f():\n    """Größe."""\n    return "ä" * 100 + "ö" * 100 + "ü" * 100\n'
    latin = f"# -*- coding: latin-1 -*-\n{code}"
    assert read(latin.encode("latin-1"))["f"].summary == "Größe."
    assert "ö" in read(b"\xef\xbb\xbf" + code.encode())["f"].source


def test_a_lone_surrogate_is_dropped_and_counted():
    drops = Counter()
    assert read('def f():\n    """Half a \\ud800 pair."""\n', drops) == {}
    assert drops["not_unicode"] == 1


def test_tests_and_foreign_folders_are_not_sources(tmp_path):
    for name in ("a.py", "b/__init__.py", "b/tests/c.py", "b/test_d.py", "site-packages/e.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert [name for name, _ in python_sources.source_files(tmp_path, "p")] == ["p.a", "p.b"]
    names = [name for name, _ in python_sources.standard_library()]
    assert "posixpath" in names and not any(".test" in name or "numpy" in name for name in names)


def test_packages_are_found_by_import_and_by_distribution_name():
    by_import = python_sources.package_files("ml_collections")
    assert by_import == python_sources.package_files("ml-collections")
    assert all(name.startswith("ml_collections") for name, _ in by_import)
    assert python_sources.package_version("ml-collections")
    assert all(isinstance(path, Path) for _, path in by_import)


def test_an_unknown_package_is_refused_in_one_sentence():
    with pytest.raises(InputError, match="'no-such-package' has no Python sources"):
        python_sources.package_files("no-such-package")
