"""Config files: find, load with overrides, describe for --help, record beside outputs."""

import ast
import contextlib
import datetime
import difflib
import importlib.metadata
import io
import json
import platform
import runpy
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from tart_jax import __version__
from tart_jax.io import existing, write_json
from tart_jax.types import InputError

PACKAGE = Path(__file__).parent
ENVIRONMENT = "environment.json"
RECORDED = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "transformers"),
    *("tokenizers", "faiss-cpu", "faiss-gpu", "bm25s", "pytrec-eval-terrier"),
)


def find(name: str) -> Path:
    """A config file: as given, else among the shipped ones (repository or installed package)."""
    if Path(name).is_file():
        return Path(name)
    for folder in (
        PACKAGE.parent,
        PACKAGE,
    ):  # a repository has configs/ beside the package, a wheel inside it
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"config file {name} does not exist; the shipped ones stand in {folder_of_configs()}."
    )


def folder_of_configs() -> Path:
    beside = PACKAGE.parent / "configs"
    return beside if beside.is_dir() else PACKAGE / "configs"


def load(name: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """`file.py` or `file.py:variant`, with overrides `--config.key=value`; keys are locked.

    A missing file, unknown key or variant, or a value of the wrong type is an InputError.
    """
    file, _, variant = name.partition(":")
    path = find(file)
    try:
        get_config = runpy.run_path(str(path)).get("get_config")
        if get_config is None:
            raise InputError(f"config file {path} has no get_config(arg) function.")
        config = get_config(variant)
    except (AttributeError, KeyError, ValueError, SyntaxError) as error:
        raise InputError(f"config file {path}: {error}.") from error
    return _override(config.lock(), overrides)


def _override(config: ConfigDict, overrides: Sequence[str]) -> ConfigDict:
    known = leaves(config)
    for word in overrides:
        key = word.partition("=")[0].removeprefix("--config.")
        if key not in known:
            close = difflib.get_close_matches(key, known, 1, 0.4)
            hint = f"did you mean --config.{close[0]}?" if close else "--help lists the keys."
            raise InputError(f"--config.{key} is not a key of this config; {hint}")
    values = flags.FlagValues()
    argv = ["tart-jax", *overrides]
    # The library registers the overrides it sees in sys_argv, each with its default's type.
    holder = config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
    try:
        values(argv)
    except (flags.Error, TypeError, ValueError) as error:
        raise InputError(
            f"{' '.join(str(error).split())}; --help shows each key's default."
        ) from error
    return holder.value


def parse(
    argv: Sequence[str],
    default: str | None = None,
    stage: str | None = None,
    positional: str | None = None,
) -> tuple[ConfigDict, str | None]:
    """(config, workdir) of `--config=FILE --workdir=FOLDER --config.key=value ...`.

    default: the file where none is named; stage: whose keys the file must have.
    positional: the key that bare words set, with commas between several; the command's keys may
    also be written `--key`.
    """
    name, workdir, overrides, bare = default, None, [], []
    words = list(argv)
    while words:
        option, equals, value = words.pop(0).partition("=")
        if positional and not option.startswith("-"):
            bare.append(f"{option}{equals}{value}")
            continue
        if not option.startswith("--"):
            raise InputError(
                f"{option!r} is not an option; they look like --config.key=value, --help lists"
                " them."
            )
        if positional and option not in ("--config", "--workdir"):
            option = f"--config.{option.removeprefix('--').removeprefix('config.')}"
        if not equals:  # `--option value` as well as `--option=value`
            takes = words and not words[0].startswith("--")
            value = words.pop(0) if takes else "True" if positional else ""
        if option == "--config":
            name = value
        elif option == "--workdir":
            workdir = value
        elif option.startswith("--config."):
            overrides.append(f"{option}={value}")
        else:
            raise InputError(
                f"{option} is not an option; there are --config, --workdir and --config.KEY."
            )
    if bare:
        overrides.append(f"--config.{positional}={','.join(bare)}")
    if not name:
        raise InputError("--config=FILE is missing; --help names the shipped config files.")
    if stage is not None:
        _check_keys(name, stage)
    return load(name, overrides), workdir or None


def _check_keys(name: str, stage: str) -> None:
    """InputError: a config file with a key that its stage does not know, or without one."""
    config = load(name)
    known = _root_of(stage, config)
    if find(name.partition(":")[0]).resolve() == known.resolve():
        return
    found, wanted = set(leaves(config)), set(leaves(load(str(known))))
    for key in sorted(found ^ wanted):
        said = "is not a key of" if key in found else "is missing; it is a key of"
        raise InputError(f"{name}: config.{key} {said} tart-jax {stage}; --help lists the keys.")


def roots(stage: str) -> list[Path]:
    """The config files that say which keys there are: default.py, or one for each builder."""
    folder = folder_of_configs() / stage
    default = folder / "default.py"
    return [default] if default.exists() else sorted(folder.glob("*.py"))


def _root_of(stage: str, config: ConfigDict) -> Path:
    """The file among `roots` whose keys a config must have; `config.builder` names it."""
    files = {path.stem: path for path in roots(stage)}
    name = "default" if "default" in files else config.get("builder")
    if name not in files:
        raise InputError(f"config.builder {name!r} is not one of {', '.join(files)}.")
    return files[name]


def leaves(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value, for every value of a config."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def comments(path: Path) -> dict[str, str]:
    """Dotted key -> the comment at the end of its line `config.a.b = value  # comment`."""
    text = existing(path).read_text("utf-8")
    ends = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            root, _, key = ast.unparse(node.targets[0]).partition(".")
            # A formatter may wrap a long line in brackets, with the comment on an inner line.
            rows = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            said = [ends[row] for row in rows if row in ends]
            if root == "config" and said:
                found[key] = " ".join(said)
    return found


def describe(stage: str) -> str:
    """Every key of a stage with its default and its comment, and the config files that set them."""
    files = sorted((folder_of_configs() / stage).glob("*.py"))
    names = "\n".join(f"  configs/{stage}/{file.name}   {_first_line(file)}" for file in files)
    parts = [f"config files (each also as FILE:quicktest):\n{names}"]
    for root in roots(stage):
        said, rows = comments(root), []
        for key, value in leaves(runpy.run_path(str(root))["get_config"]()).items():
            rows.append(f"  --config.{key}={value!r}\n        {said.get(key, '')}")
        parts.append(f"keys, with the defaults of {root.name}:\n" + "\n".join(rows))
    return "\n\n".join(parts)


def _first_line(path: Path) -> str:
    doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return doc.splitlines()[0] if doc else ""


@contextlib.contextmanager
def recorded(config: ConfigDict, workdir: Path, command: Sequence[str]) -> Iterator[None]:
    """Writes `config.json` and `environment.json` (versions, commit, command, date) for a run.

    They stand there while it runs; where it refuses its input, the earlier ones come back: they
    describe the outputs that are still there.
    """
    files = {
        workdir / "config.json": json.loads(config.to_json_best_effort()),
        workdir / ENVIRONMENT: environment(command),
    }
    before = {path: path.read_bytes() if path.is_file() else None for path in files}
    existed = workdir.is_dir()
    try:
        for path, value in files.items():
            write_json(path, value)
    except OSError as error:
        raise InputError(
            f"--workdir={workdir} cannot be written ({error.strerror}); choose another folder."
        ) from error
    try:
        yield
    except InputError:
        for path, content in before.items():
            path.unlink(missing_ok=True) if content is None else path.write_bytes(content)
        if not existed and not any(workdir.iterdir()):
            workdir.rmdir()
        raise


def run_stage(
    name: str,
    run: Callable[[ConfigDict, Path], Any],
    file: str,
    workdir: Path,
    overrides: Mapping[str, object],
) -> None:
    """Runs one command as the command line would, and says how to run it alone."""
    words = [f"--config.{key}={value}" for key, value in overrides.items()]
    command = [name, f"--config={file}", f"--workdir={workdir}", *words]
    print(" ".join(["\n$ tart-jax", *command]), flush=True)
    settings = load(file, words)
    with recorded(settings, workdir, ["tart-jax", *command]):
        run(settings, workdir)


def environment(command: Sequence[str]) -> dict[str, Any]:
    """What a number must be read with: versions, machine, commit, command and date."""
    versions = {}
    for name in RECORDED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "tart_jax": __version__,
        "commit": _commit(),
        "command": list(command),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "argv0": Path(sys.argv[0]).name,
    }


def _commit() -> str | None:
    """The repository's commit; None for an installed package and where there is no git."""
    if not (PACKAGE.parent / ".git").exists():
        return None
    try:
        said = subprocess.run(
            ["git", "-C", str(PACKAGE.parent), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
        )
    except OSError:
        return None
    return said.stdout.strip() or None
