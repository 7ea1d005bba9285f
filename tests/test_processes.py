"""Being one of several processes: what says so, what is refused, and the last words."""

import os
import signal
import subprocess
import sys

import pytest

from tart_jax import processes
from tart_jax.types import InputError

SLURM = {
    "SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "node[1-2]", "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3", "SLURM_LOCALID": "1",
}  # fmt: skip
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}
EXPLICIT = {
    "JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1",
}  # fmt: skip


@pytest.mark.parametrize(
    "environ, said",
    [
        ({}, ""),
        (EXPLICIT, "JAX_COORDINATOR_ADDRESS"),
        (SLURM, "Slurm"),
        (OPEN_MPI, "Open MPI"),
        (SLURM | EXPLICIT, "JAX_COORDINATOR_ADDRESS"),
        # A batch script that does not use srun, a step of one task, a run of one rank.
        ({key: SLURM[key] for key in SLURM if key != "SLURM_STEP_NODELIST"}, ""),
        (SLURM | {"SLURM_NTASKS": "1"}, ""),
        (OPEN_MPI | {"OMPI_COMM_WORLD_SIZE": "1"}, ""),
        # The way out of what the machine announces.
        (SLURM | {"JAX_NUM_PROCESSES": "1"}, ""),
    ],
)
def test_the_environment_says_whether_there_are_others(environ, said):
    assert processes.who_says_so(environ) == said


def test_a_tpu_is_asked_for_its_others_unless_another_platform_is_wanted(monkeypatch):
    import jax

    before = jax.config.jax_platforms
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: name == "libtpu")
    try:
        jax.config.update("jax_platforms", "tpu,cpu")  # as JAX does where it finds chips
        assert processes.who_says_so({}) == "TPU"
        assert processes.who_says_so({"JAX_NUM_PROCESSES": "1"}) == ""
        jax.config.update("jax_platforms", "cpu")
        assert processes.who_says_so({}) == ""
    finally:
        jax.config.update("jax_platforms", before)


def test_one_process_starts_without_jax():
    code = "import sys; from tart_jax import processes; assert processes.start({}) == 1;"
    code += " assert processes.leave(3) == 3; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_jax_finds_by_itself_is_left_to_it():
    given = processes.arguments(SLURM)
    assert [given[key] for key in ("coordinator_address", "num_processes", "process_id")] == [
        None, None, None,
    ]  # fmt: skip
    assert given["heartbeat_timeout_seconds"] == 100
    given = processes.arguments(EXPLICIT | {"TART_JAX_HEARTBEAT_SECONDS": "20"})
    assert [given[key] for key in ("coordinator_address", "num_processes", "process_id")] == [
        "10.0.0.1:1234", 2, 1,
    ]  # fmt: skip
    assert given["heartbeat_timeout_seconds"] == 20


def test_open_mpi_needs_only_the_address():
    given = processes.arguments(OPEN_MPI | {"JAX_COORDINATOR_ADDRESS": "a:1"})
    assert (given["num_processes"], given["process_id"]) == (4, 3)


@pytest.mark.parametrize(
    "environ, said",
    [
        ({"JAX_NUM_PROCESSES": "2"}, "JAX_COORDINATOR_ADDRESS; all three are needed"),
        ({"JAX_PROCESS_ID": "0"}, "JAX_COORDINATOR_ADDRESS; all three are needed"),
        (EXPLICIT | {"JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES is 'two'"),
        (EXPLICIT | {"JAX_PROCESS_ID": "2"}, "JAX_PROCESS_ID is 2, but JAX_NUM_PROCESSES is 2"),
        (EXPLICIT | {"JAX_PROCESS_ID": "-1"}, "JAX_PROCESS_ID is '-1'"),
        (EXPLICIT | {"JAX_COORDINATOR_ADDRESS": "host"}, "should be HOST:PORT"),
        (EXPLICIT | {"TART_JAX_HEARTBEAT_SECONDS": "1.5"}, "is '1.5'; it should be a whole number"),
    ],
)
def test_an_environment_that_contradicts_itself_is_refused(environ, said):
    with pytest.raises(InputError, match=said):
        processes.start(environ)


def test_what_jax_cannot_find_is_said_with_the_way_out():
    # In a process of its own: JAX is not to be joined to others in this one.
    code = "import sys; from tart_jax.cli import main; sys.exit(main(['train', *sys.argv[1:]]))"
    words = ["--config=configs/train/default.py", "--workdir=/nonexistent/w"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        env=os.environ | OPEN_MPI | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("tart-jax: jax.distributed cannot start as Open MPI asks (")
    assert "JAX_NUM_PROCESSES=1 runs this process by itself" in done.stderr
    assert done.stderr.count("\n") == 1


LAST = "import os, signal, sys; from tart_jax.processes import LastWords; w = LastWords('one');"


@pytest.mark.parametrize(
    "end, status, said",
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, "one\n"),
        ("w.say('an\\nother'); os.abort()", -signal.SIGABRT, "an other\n"),
        ("os._exit(3)", 3, "one\n"),
        ("w.take_back(); os._exit(3)", 3, ""),
    ],
)
def test_last_words_are_said_unless_they_are_taken_back(end, status, said):
    done = subprocess.run([sys.executable, "-c", LAST + end], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, said)
