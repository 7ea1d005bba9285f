"""The laws of the house, checked: import order, file and function length, every file compiles."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tart_jax"
# Each may import only from those before it; names in one tuple do not see each other.
ORDER = [
    ("types",), ("io",), ("config",), ("processes",),
    ("compilation", "hardware"), ("distributed",), ("sharding",), ("plots",), ("tables",),
    ("data",), ("models",), ("losses",), ("checkpoints",), ("encode",), ("index",),
    ("search",),
    ("mine", "evaluate"),
    ("train",), ("report", "serve"), ("api",), ("demo", "harness"), ("cli",),
]  # fmt: skip
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
# A dependency that may be absent, or that changes often, is imported in one file.
ONE_IMPORTER = {
    "orbax": "checkpoints.py", "faiss": "index/faiss_index.py", "bm25s": "index/bm25.py",
    "grain": "data/pipeline.py", "tensorboardX": "train/metrics.py",
    "pytrec_eval": "evaluate/measures.py", "pickle": "models/torch_files.py",
    "huggingface_hub": "data/hub.py", "pooch": "data/berri/fetch.py",
    "apache_beam": "data/berri/beam.py", "pyarrow": "data/exchange/rows.py",
    "datasets": "data/exchange/hf.py",
}  # fmt: skip
# Read in one file, written in another.
ONE_IMPORTER_EACH_WAY = {"tensorflow_datasets": ["data/berri/builder.py", "data/sources.py"]}
SOURCES = sorted(PACKAGE.rglob("*.py"))
ALL = sorted(
    path
    for folder in ("tart_jax", "configs", "scripts", "tests")
    for path in (ROOT / folder).rglob("*.py")
)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def violations(room: str, imported: set[str]) -> list[str]:
    others = {name.split(".")[1] for name in imported if name.startswith("tart_jax.")} & set(RANK)
    return [other for other in sorted(others) if other != room and RANK[other] >= RANK[room]]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    if path.parent == PACKAGE and path.name in ("__init__.py", "__main__.py"):
        return  # the lazy door and the command line's
    assert room_of(path) in RANK, f"{path} stands in no room of the house"
    assert violations(room_of(path), imports(path)) == []


def test_an_import_against_the_order_is_found():
    assert violations("models", {"tart_jax.train.run"}) == ["train"]
    assert violations("evaluate", {"tart_jax.mine"}) == ["mine"]


def users_of(package: str) -> list[str]:
    return [
        str(p.relative_to(PACKAGE))
        for p in SOURCES
        if package in {i.split(".")[0] for i in imports(p)}
    ]


@pytest.mark.parametrize("package,owner", ONE_IMPORTER.items())
def test_a_dependency_is_imported_in_one_file(package, owner):
    users = users_of(package)
    assert users in ([], [owner])


@pytest.mark.parametrize("package,owners", ONE_IMPORTER_EACH_WAY.items())
def test_a_format_is_read_in_one_file_and_written_in_one(package, owners):
    assert users_of(package) == owners


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_under_300_lines_and_functions_under_50(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 50, (
                f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
            )


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_compiles(path):
    compile(path.read_text("utf-8"), str(path), "exec")
