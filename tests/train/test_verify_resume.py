"""The command that proves resuming: what it compares, what it finds, what it refuses."""

import pytest

from tart_jax import config as configs
from tart_jax import io
from tart_jax.train import verify_resume
from tart_jax.types import EndedError, InputError
from tests.train.test_run import options


def settings(model_directory, train_file, **changes):
    values = options(model_directory, train_file)
    for decided in ("steps", "checkpoint.save_every", "log.every", "log.tensorboard"):
        del values[decided]
    words = tuple(f"{key}={value}" for key, value in values.items())
    chosen = {"train_options": words, "steps": 8, "kills": 2} | changes
    return configs.load(
        "configs/verify-resume/default.py",
        [f"--config.{key}={value}" for key, value in chosen.items()],
    )


def ended(folder, **changes):
    """What a training of two steps leaves."""
    lines = [
        {"step": n, "loss": 0.5 / n, "grad_norm": 1.0, "examples_per_second": n} for n in (1, 2)
    ]
    lines[1] |= {key: value for key, value in changes.items() if key in lines[1]}
    io.write_jsonl(folder / "metrics.jsonl", lines)
    weights = changes.get("weights", "a")
    io.write_json(folder / "result.json", {"weights_sha256": weights})
    return folder


@pytest.mark.parametrize(
    "changes,differences",
    [
        ({}, []),
        ({"examples_per_second": 9.0}, []),
        ({"grad_norm": 1.0000001}, ["grad_norm of step 2"]),
        ({"weights": "b"}, ["weights"]),
        ({"step": 3}, ["the steps that were logged"]),
    ],
)
def test_every_step_and_the_weights_are_compared_but_no_clock(tmp_path, changes, differences):
    whole, killed = ended(tmp_path / "whole"), ended(tmp_path / "killed", **changes)
    assert verify_resume.compare(whole, killed) == differences


def test_mistakes_are_named_before_anything_is_trained(model_directory, train_file, tmp_path):
    with pytest.raises(InputError, match="config.kills is 8 and config.steps 8"):
        verify_resume.run(settings(model_directory, train_file, kills=8), tmp_path / "a")
    with pytest.raises(InputError, match="sets steps, which this command decides"):
        verify_resume.run(
            settings(model_directory, train_file, train_options=("steps=4",)), tmp_path / "a"
        )
    assert not (tmp_path / "a").exists()
    (tmp_path / "b" / "whole").mkdir(parents=True)
    with pytest.raises(InputError, match="holds an earlier check"):
        verify_resume.run(settings(model_directory, train_file), tmp_path / "b")


@pytest.mark.slow
def test_a_killed_training_is_proved_equal_and_one_that_is_not_is_told(
    model_directory, train_file, tmp_path
):
    chosen = settings(model_directory, train_file)
    verify_resume.run(chosen, tmp_path / "a")
    found = io.read_json(tmp_path / "a" / "verify.json")
    assert found["equal"] and len(found["killed_after"]) >= 1
    # The broken twin: the examples change while the run is down, and it is allowed to go on.
    words = (*chosen.train_options, "checkpoint.allow_other_data=True")
    other = tmp_path / "train.jsonl"
    other.write_bytes(train_file.read_bytes())
    words = tuple(w for w in words if not w.startswith("data.train=")) + (f"data.train={other}",)
    chosen.train_options = words
    finish = verify_resume._finish

    def changed(process, workdir):
        finish(process, workdir)
        lines = other.read_text().splitlines(keepends=True)
        other.write_text("".join(reversed(lines)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify_resume, "_finish", changed)
        with pytest.raises(EndedError, match="the killed training is another in loss of step"):
            verify_resume.run(chosen, tmp_path / "b")
    assert not io.read_json(tmp_path / "b" / "verify.json")["equal"]


@pytest.mark.slow
def test_a_training_that_fails_is_told_in_its_own_words(model_directory, train_file, tmp_path):
    words = (f"model.source={tmp_path / 'none'}", f"data.train={train_file}")
    with pytest.raises(EndedError, match="whole failed: tart-jax: "):
        verify_resume.run(
            settings(model_directory, train_file, train_options=words), tmp_path / "a"
        )
