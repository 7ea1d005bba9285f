"""Python source files read as data: the documented functions of a library, by `ast` alone."""

import ast
import importlib.metadata
import importlib.util
import inspect
import re
import sysconfig
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from tqdm import tqdm

from tart_jax.types import InputError

SOURCE_LENGTH = (
    1200  # characters of source, details and overview; MiniLM reads about 300 tokens of them
)
SIGNATURE_LENGTH = 400
BODY_LENGTH = 30  # shorter bodies (pass, a bare raise, return self.x) tell nothing apart
SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)\s+(?=[A-Z\"'`*_<(\[])")
PARAGRAPH_END = re.compile(r"\n[ \t]*\n")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """A documented function or method. Texts may be empty; `source` is without the docstring."""

    module: str
    name: str  # qualified within the module; a redefinition ends in #2, #3, ...
    summary: str
    details: str
    source: str
    signature: str


@dataclass(frozen=True)
class Module:
    """A module, its documented functions, and what it and its classes say they are for.

    overviews: docstrings by qualified class name; "" is the module itself.
    """

    name: str
    overviews: dict[str, str]
    functions: tuple[Function, ...]


def standard_library() -> list[tuple[str, Path]]:
    """(module, file) of the running Python's standard library, without tests and site-packages."""
    return source_files(Path(sysconfig.get_path("stdlib")))


def source_files(root: Path, prefix: str = "") -> list[tuple[str, Path]]:
    """(module, file) of every module below `root` that is not a test, sorted."""
    found = []
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        # Folders that are no identifiers (site-packages, config-3.11-...) hold no modules.
        if not all(part.isidentifier() for part in parts) or any(map(_is_test, parts)):
            continue
        names = [prefix, *parts] if prefix else list(parts)
        found.append((".".join(names).removesuffix(".__init__"), path))
    return sorted(found)


def _is_test(part: str) -> bool:
    return part in {"test", "tests", "testing", "idle_test", "conftest", "pydoc_data"} or (
        part.startswith("test_") or part.endswith("_test")
    )


def package_files(package: str) -> list[tuple[str, Path]]:
    """(module, file) of an installed package, by import or distribution name; none is imported."""
    by_import_name = importlib.metadata.packages_distributions()
    wanted = package.lower().replace("-", "_")
    names = (
        [package]
        if package.isidentifier() and importlib.util.find_spec(package)
        else sorted(
            name
            for name, owners in by_import_name.items()
            if wanted in {owner.lower().replace("-", "_") for owner in owners}
        )
    )
    found: list[tuple[str, Path]] = []
    for name in names:
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if spec is None:
            continue
        for location in spec.submodule_search_locations or ():
            found += source_files(Path(location), prefix=name)
        if not spec.submodule_search_locations and spec.origin and spec.origin.endswith(".py"):
            found.append((name, Path(spec.origin)))
    if not found:
        raise InputError(
            f"packages: {package!r} has no Python sources in this installation; install it, or"
            " leave it out."
        )
    return found


def package_version(package: str) -> str:
    """The installed version of a package by either name, "" where none is recorded."""
    owners = importlib.metadata.packages_distributions().get(package, [package])
    try:
        return importlib.metadata.version(owners[0])
    except importlib.metadata.PackageNotFoundError:
        return ""


def read_modules(
    files: Sequence[tuple[str, Path]], *, max_modules: int | None, drops: Counter[str]
) -> tuple[list[Module], list[str]]:
    """The modules with a documented function, and the names of the files that could not be read.

    Stops after `max_modules`. `drops` counts files and functions left out, by reason.
    """
    modules: list[Module] = []
    bad = []
    for name, path in tqdm(files, desc="Reading Python sources", unit="file", disable=None):
        try:
            module = read_module(name, path.read_bytes(), drops)
        # ValueError covers null bytes and undecodable text; deeply nested files exhaust the parser.
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            drops["bad_file"] += 1
            bad.append(name)
            continue
        if module.functions:
            modules.append(module)
        if len(modules) == max_modules:
            break
    return modules, bad


def read_module(name: str, source: bytes, drops: Counter[str]) -> Module:
    """One module from its bytes (PEP 263 coding lines are obeyed)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in old files
        tree = ast.parse(source)
    encoding, _ = tokenize.detect_encoding(BytesIO(source).readline)
    text = source.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    overviews = {"": prose(ast.get_docstring(tree) or "")}
    functions, seen = [], Counter[str]()
    for qualname, node in _definitions(tree, ""):
        if isinstance(node, ast.ClassDef):
            overviews.setdefault(qualname, prose(ast.get_docstring(node) or ""))
            continue
        seen[qualname] += 1
        label = qualname if seen[qualname] == 1 else f"{qualname}#{seen[qualname]}"
        docstring = ast.get_docstring(node)
        if not docstring:
            drops["no_docstring"] += 1
            continue
        summary, details = split_docstring(docstring)
        signature = _signature(f"{name}.{qualname}", node)
        function = Function(name, label, summary, details, cut(_source(node, lines)), signature)
        if not _is_text(docstring + function.source + signature):
            drops["not_unicode"] += 1
            continue
        functions.append(function)
    overviews = {label: text for label, text in overviews.items() if text and _is_text(text)}
    return Module(name, overviews, tuple(functions))


def _is_text(text: str) -> bool:
    """False for lone surrogates, legal in a literal but not in UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, FunctionNode | ast.ClassDef]]:
    """Classes, functions and methods in file order; not those inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield prefix + child.name, child
            yield from _definitions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _definitions(child, prefix)


def split_docstring(docstring: str) -> tuple[str, str]:
    """(first sentence on one line, the remaining paragraphs)."""
    first, *rest = PARAGRAPH_END.split(docstring.strip(), maxsplit=1)
    sentence, *more = SENTENCE_END.split(" ".join(first.split()), maxsplit=1)
    return sentence, prose("\n\n".join(more + rest))


def prose(text: str) -> str:
    """The paragraphs that are not interpreter sessions, cut at a paragraph or else a line end."""
    paragraphs = [part.strip("\n") for part in PARAGRAPH_END.split(inspect.cleandoc(text))]
    return cut("\n\n".join(part for part in paragraphs if part.strip() and ">>>" not in part))


def cut(text: str, length: int = SOURCE_LENGTH) -> str:
    """At most `length` characters, ending where a paragraph, else a line, else a word ends."""
    if len(text) <= length:
        return text
    head = text[: length + 1]
    for end in ("\n\n", "\n", " "):
        if head.rfind(end) > length // 2:
            return head[: head.rfind(end)].rstrip()
    return text[:length]


def _signature(path: str, node: FunctionNode) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    start = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return cut(f"{start}{path}({ast.unparse(node.args)}){returns}", SIGNATURE_LENGTH)


def _source(node: FunctionNode, lines: Sequence[str]) -> str:
    """Decorators, header and body, dedented, without the docstring; "" for a tiny body."""
    docstring, *body = node.body
    if sum(len(ast.unparse(statement)) for statement in body) < BODY_LENGTH:
        return ""
    start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    end = docstring.end_lineno or 0
    if docstring.lineno == node.lineno or body[0].lineno <= end:  # no whole lines to leave out
        bare = ast.parse(ast.unparse(node)).body[0]
        assert isinstance(bare, FunctionNode)
        bare.body = bare.body[1:]
        return ast.unparse(bare)
    while not lines[end].strip():  # the blank lines below the docstring go with it
        end += 1
    kept = [*lines[start - 1 : docstring.lineno - 1], *lines[end : node.end_lineno]]
    # Not textwrap.dedent: a comment or a continued string at column 0 would stop it.
    indent = node.col_offset
    dedented = [line[indent:] if line[:indent].isspace() else line for line in kept]
    return "\n".join(dedented)
