"""Every config loads, in its quick form too; every key has its comment and is read by its stage."""

import ast
import re
from pathlib import Path

import pytest

from tart_jax import config
from tart_jax.cli import COMMANDS
from tart_jax.data import prepare
from tart_jax.types import InputError

ROOT = Path(__file__).parent.parent
FILES = sorted(path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.py"))
STAGES = sorted({path.parts[1] for path in FILES})


@pytest.mark.parametrize("path", FILES, ids=str)
@pytest.mark.parametrize("variant", ["", ":quicktest"])
def test_every_config_loads(path, variant):
    assert len(config.leaves(config.load(f"{ROOT / path}{variant}"))) > 0


@pytest.mark.parametrize("path", FILES, ids=str)
def test_an_unknown_variant_is_refused(path):
    with pytest.raises(InputError, match="quicktest"):
        config.load(f"{ROOT / path}:nosuchvariant")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_variant_has_the_keys_of_its_stage(path):
    default = ROOT / path.parent / "default.py"
    if default.exists():
        assert set(config.leaves(config.load(str(ROOT / path)))) == set(
            config.leaves(config.load(str(default)))
        )


ROOTS = [(stage, path) for stage in STAGES for path in config.roots(stage)]


@pytest.mark.parametrize("stage, path", ROOTS, ids=lambda part: getattr(part, "stem", part))
def test_every_key_has_a_comment(stage, path):
    missing = set(config.leaves(config.load(str(path)))) - set(config.comments(path))
    assert not missing


def parameters(path: Path) -> set[str]:
    """The keyword arguments of `run`, and of the `build` that it may hand them on to."""
    found = ast.walk(ast.parse(path.read_text("utf-8")))
    both = [n for n in found if isinstance(n, ast.FunctionDef) and n.name in ("run", "build")]
    return {argument.arg for function in both for argument in function.args.kwonlyargs}


@pytest.mark.parametrize("stage, path", ROOTS, ids=lambda part: getattr(part, "stem", part))
def test_every_key_is_read_by_its_stage(stage, path):
    def source(module: str) -> Path:
        return ROOT / Path(*module.split(".")).with_suffix(".py")

    settings = config.load(str(path))
    module = source(COMMANDS[stage].module)
    beside = module.with_name("build.py")
    text = "".join(path.read_text("utf-8") for path in (module, beside) if path.is_file())
    taken: set[str] = {"builder"} if "builder" in settings else set()
    if "builder" in settings:  # its `run` is called with every other key
        taken |= parameters(source(prepare.BUILDERS[settings.builder]))
    groups = {key.rpartition(".")[0] for key in config.leaves(settings)}
    unread = [
        key
        for key in config.leaves(settings)
        if key not in taken
        and not re.search(rf"\.{key.rpartition('.')[2]}\b", text)
        # a group handed on whole: _rules(config.hard), or **config.optimizer
        and not re.search(rf"\(config\.{key.partition('.')[0]}[,)]", text)
        and not any(
            re.search(rf"\*\*[\w.]*\b{group.rpartition('.')[2]}\b", text)
            for group in groups
            if group and key.startswith(f"{group}.")
        )
    ]
    assert not unread


def test_an_unknown_key_is_an_error_that_names_the_nearest():
    with pytest.raises(InputError, match=r"--config.resample .*did you mean --config.resamples\?"):
        config.load("configs/demo/default.py", ["--config.resample=1"])


def test_a_value_of_the_wrong_type_is_an_error():
    with pytest.raises(InputError, match="resamples"):
        config.load("configs/demo/default.py", ["--config.resamples=many"])


def test_a_missing_config_file_is_an_error():
    with pytest.raises(InputError, match="configs/nothing.py does not exist"):
        config.load("configs/nothing.py")


def test_overrides_are_applied():
    assert config.load("configs/demo/default.py", ["--config.resamples=7"]).resamples == 7


def test_help_lists_every_key_with_its_comment():
    text = config.describe("demo")
    for key in config.leaves(config.load("configs/demo/default.py")):
        assert f"--config.{key}=" in text
    assert "paired bootstrap" in text


def test_a_run_is_recorded_beside_its_outputs(tmp_path):
    settings = config.load("configs/demo/default.py")
    with config.recorded(settings, tmp_path / "run", ["tart-jax", "demo"]):
        pass
    written = {path.name: path.read_text() for path in (tmp_path / "run").iterdir()}
    assert set(written) == {"config.json", "environment.json"}
    settings.seed = 7
    with pytest.raises(InputError), config.recorded(settings, tmp_path / "run", ["other"]):
        raise InputError("refused")
    assert {path.name: path.read_text() for path in (tmp_path / "run").iterdir()} == written
    with pytest.raises(InputError), config.recorded(settings, tmp_path / "new", ["other"]):
        raise InputError("refused")
    assert not (tmp_path / "new").exists()


def test_a_config_file_with_a_key_of_its_own_is_refused(tmp_path):
    text = (ROOT / "configs" / "demo" / "default.py").read_text()
    path = tmp_path / "mine.py"
    path.write_text(text.replace("    return config", "    config.resample = 3\n    return config"))
    with pytest.raises(InputError, match="config.resample is not a key of tart-jax demo"):
        config.parse([f"--config={path}"], stage="demo")
    path.write_text(text.replace("config.resamples = 10_000", "config.resample = 10_000"))
    with pytest.raises(InputError, match="config.resample"):
        config.parse([f"--config={path}"], stage="demo")
