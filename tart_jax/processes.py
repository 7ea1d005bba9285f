"""Being one of several processes: how that is found out, how it starts, and how it ends.

JAX is imported only where a process is, or may be, one of several: most commands need none.
"""

import importlib.util
import logging
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any

from tart_jax.types import InputError

START_SECONDS = 300  # in which all processes must have come
HEARTBEAT_SECONDS = 100  # without a sign of life until a process counts as lost
LEAVE_SECONDS = 10  # that a process which failed waits for the others to fail likewise
FINISH_SECONDS = 24 * 3600  # that one which is done waits for the others

COORDINATOR, COUNT, INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
HEARTBEAT = "TART_JAX_HEARTBEAT_SECONDS"
# Slurm sets them in each task of `srun`; JAX looks for the same ones.
SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
OPEN_MPI = ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")
# Words of JAX's errors between processes: on CPUs, on GPUs, and of the service that joins them.
# They come as JaxRuntimeError or as ValueError.
BETWEEN = ("Gloo", "NCCL", "CoordinationService", "Barrier")
ALONE = f"{COUNT}=1 runs this process by itself"


class LastWords:
    """A sentence on stderr should this process end before it takes the sentence back.

    JAX's runtime aborts a process that lost the others, and nothing in Python hears of it; so a
    shell waits at the other end of a pipe.
    """

    SCRIPT = 'while read -r line; do last=$line; done; [ -z "$last" ] || printf "%s\\n" "$last" >&2'

    def __init__(self, sentence: str):
        self._shell = subprocess.Popen(
            ["sh", "-c", self.SCRIPT], stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        self.say(sentence)

    def say(self, sentence: str) -> None:
        """Another sentence from now on; "" is none."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(" ".join(sentence.split()) + "\n")
        self._shell.stdin.flush()

    def take_back(self) -> None:
        """Nothing will be said."""
        self.say("")
        self._shell.communicate()


_last_words: LastWords | None = None  # of a process that is one of several


def several() -> bool:
    """Whether this process was started as one of several."""
    return _last_words is not None


def who_says_so(environ: Mapping[str, str]) -> str:
    """What makes this process one of several, "" if nothing does; "TPU" may yet turn out alone."""
    if _number(environ, COUNT) == 1:
        return ""
    if environ.get(COORDINATOR):
        return COORDINATOR
    if all(name in environ for name in SLURM) and (_number(environ, SLURM[2]) or 0) > 1:
        return "Slurm"
    if (_number(environ, OPEN_MPI[0]) or 0) > 1:
        return "Open MPI"
    if environ.get(COUNT) or environ.get(INDEX):
        raise InputError(
            f"{COUNT} or {INDEX} is set, but not {COORDINATOR}; all three are needed: the host and"
            " port of process 0, how many processes there are, and which this is, from 0."
        )
    return "TPU" if _on_tpu() else ""


def _on_tpu() -> bool:
    if importlib.util.find_spec("libtpu") is None:
        return False
    import jax

    # JAX has looked for chips when it was imported, and puts TPUs first where it found some.
    return str(getattr(jax.config, "jax_platforms", "")).startswith("tpu")


def arguments(environ: Mapping[str, str]) -> dict[str, Any]:
    """Of jax.distributed.initialize; what is None JAX finds out by itself (Slurm, MPI, TPUs).

    InputError: numbers that do not fit.
    """
    address, count = environ.get(COORDINATOR) or None, _number(environ, COUNT)
    index = _number(environ, INDEX)
    if address is not None and not address.rpartition(":")[2].isdigit():
        raise InputError(f"{COORDINATOR} is {address!r}; it should be HOST:PORT of process 0.")
    if address is not None and count is None and index is None:
        # JAX finds them for Slurm and TPUs, but not for Open MPI from version 5 on.
        count, index = (_number(environ, name) for name in OPEN_MPI)
    if count is not None and not 0 <= (index or 0) < count:
        raise InputError(
            f"{INDEX} is {index}, but {COUNT} is {count}; it is one of 0..{count - 1}."
        )
    return {
        "coordinator_address": address,
        "num_processes": count,
        "process_id": index,
        "initialization_timeout": START_SECONDS,
        "heartbeat_timeout_seconds": _number(environ, HEARTBEAT) or HEARTBEAT_SECONDS,
        "shutdown_timeout_seconds": FINISH_SECONDS,
    }


def start(environ: Mapping[str, str] = os.environ, *, heeds_sigterm: bool = False) -> int:
    """How many processes there are; more than one are joined, before any device is touched.

    heeds_sigterm: this process asks JAX at each step whether any of them got the signal, which ends
    it otherwise.
    InputError: the environment is contradictory, or JAX cannot find the others by it.
    """
    global _last_words
    said_by = who_says_so(environ)
    if not said_by:
        return 1
    wanted = arguments(environ)
    words = LastWords(
        f"tart-jax: the processes that {said_by} announces did not all come within"
        f" {START_SECONDS} s; start as many as there should be, see that"
        f" {wanted['coordinator_address'] or 'the first host'} can be reached, or {ALONE}."
    )
    import jax

    # The service swallows the signal, whether or not anybody asks it.
    jax.config.update("jax_enable_preemption_service", heeds_sigterm)
    try:
        jax.distributed.initialize(**wanted)
    except (ValueError, RuntimeError, OSError) as error:
        words.take_back()
        if said_by == "TPU" and isinstance(error, ValueError):
            return 1  # no pod's metadata: a TPU by itself
        raise InputError(
            f"jax.distributed cannot start as {said_by} asks ({' '.join(str(error).split())}); set"
            f" {COORDINATOR}, {COUNT} and {INDEX}, or {ALONE}."
        ) from error
    _last_words = words
    count, index = jax.process_count(), jax.process_index()
    words.say(lost(f"tart-jax: process {index} of {count} has ended"))
    if index:
        logging.getLogger("tart_jax").setLevel(logging.WARNING)  # process 0 speaks for all
    return count


def lost(what: str) -> str:
    """The sentence for a process that lost another."""
    return (
        f"{what}: another process was lost, or this one was killed; the same command, on any number"
        " of processes, goes on from what is saved."
    )


def failed(error: Exception) -> int:
    """Says what became of this process, one of several, and gives its exit status.

    An error of an exchange is most often the first sign that another process is gone.
    """
    import jax

    me = f"tart-jax: process {jax.process_index()} of {jax.process_count()}"
    said = " ".join(str(error).split())
    if any(word in said for word in BETWEEN):
        assert _last_words is not None
        _last_words.say(lost(f"{me} has stopped ({said[:200]})"))
        os._exit(1)  # at once: the runtime would yet abort this process, with a page of its own
    traceback.print_exception(error)
    print(f"{me} has stopped by the error above, and the others will.", file=sys.stderr)
    return 1


def leave(status: int) -> int:
    """Ends together with the others; without others it does nothing. Gives the exit status back."""
    global _last_words
    if _last_words is None:
        return status
    import jax

    if status:
        # The others may never come: they wait for this process in the middle of a computation.
        _last_words.take_back()  # what there is to say has been said
        timer = threading.Timer(LEAVE_SECONDS, os._exit, (status,))
        timer.daemon = True
        timer.start()
    jax.distributed.shutdown()
    if not status:
        _last_words.take_back()
    _last_words = None
    return status


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name)
    if not text:
        return None
    if not text.isdigit():
        raise InputError(f"{name} is {text!r}; it should be a whole number.")
    return int(text)
