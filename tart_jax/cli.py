"""The command `tart-jax`: one table of commands, each a stage that writes a folder."""

import atexit
import contextlib
import errno
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from tart_jax import __version__, compilation, config, processes
from tart_jax.types import DivergedError, EndedError, InputError

log = logging.getLogger(__name__)


class Command(NamedTuple):
    module: str
    help: str
    needs_workdir: bool = True
    default: str | None = None  # the config file where --config is not given
    positional: str | None = None  # the key of a bare word; other keys may be written --key, too
    processes: bool = False  # whether several of them may run it together
    heeds_sigterm: bool = False  # whether these agree to save and end at a signal to one of them


COMMANDS = {
    "demo": Command("tart_jax.demo.run", "train and test a retriever on your own Python",
                    default="configs/demo/default.py"),
    "prepare": Command("tart_jax.data.prepare", "build a data set: examples, instructions, qrels"),
    "import": Command("tart_jax.data.exchange.importing", "training data from another format",
                      default="configs/import/default.py"),
    "export": Command("tart_jax.data.exchange.exporting", "training data to another format",
                      default="configs/export/default.py"),
    "audit": Command("tart_jax.data.audit.run", "find faults in training data, and repair them",
                     False, "configs/audit/default.py", "path"),
    "convert": Command("tart_jax.models.convert", "a released checkpoint to our layout or another",
                       default="configs/convert/default.py"),
    "train": Command("tart_jax.train.run", "train a dual encoder, a cross-encoder or a reader",
                     processes=True, heeds_sigterm=True),
    "encode": Command("tart_jax.encode.run", "encode a corpus into embedding shards",
                      default="configs/encode/default.py", processes=True),
    "index": Command("tart_jax.index.run", "build an exact, FAISS or BM25 index",
                     default="configs/index/default.py"),
    "search": Command("tart_jax.search.run", "answer queries: a TREC run, or hits in the terminal",
                      False, "configs/search/default.py", processes=True),
    "rerank": Command("tart_jax.search.rerank_run", "order a run's hits anew by a cross-encoder",
                      default="configs/rerank/default.py"),
    "read": Command("tart_jax.search.read_run", "answers of a reader that has read passages",
                    default="configs/read/default.py"),
    "mine": Command("tart_jax.mine.run", "negatives from what a retriever finds, relabelled",
                    default="configs/mine/default.py"),
    "rounds": Command("tart_jax.train.rounds", "train, mine with that model, train from the start",
                      default="configs/rounds/default.py"),
    "plan": Command("tart_jax.train.plan_run", "what a training needs of a device, and what fits",
                    False, "configs/plan/default.py", "train"),
    "verify-resume": Command("tart_jax.train.verify_resume", "prove that a killed training goes on",
                             default="configs/verify-resume/default.py"),
    "audit-mined": Command("tart_jax.mine.audit_run", "scores and false negatives in mined data",
                           default="configs/audit-mined/default.py", positional="mined"),
    "evaluate": Command("tart_jax.evaluate.run", "score a TREC run against qrels", True,
                        "configs/evaluate/default.py"),
    "compare": Command("tart_jax.evaluate.compare", "two evaluations: is the difference chance?",
                       False, "configs/compare/default.py", "runs"),
    "report": Command("tart_jax.report.run", "evaluations side by side: Markdown, LaTeX, HTML, CSV",
                      True, "configs/report/default.py", "runs"),
    "sweep": Command("tart_jax.report.sweep", "train variants with several seeds, and compare them",
                     default="configs/sweep/default.py"),
}  # fmt: skip

# The disk is full, over quota, too small for a file, read-only, broken; or not ours to write to.
DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM
}  # fmt: skip

USAGE = """tart-jax {version}: retrievers that follow instructions, in JAX and Flax.

usage: tart-jax COMMAND --config=FILE[:quicktest] --workdir=FOLDER [--config.KEY=VALUE ...]
       tart-jax COMMAND --help

commands:
{commands}

Data flows through files: prepare or import -> train -> encode -> index -> search -> evaluate.
"""


def usage() -> str:
    rows = "\n".join(f"  {name:13} {command.help}" for name, command in COMMANDS.items())
    return USAGE.format(version=__version__, commands=rows)


def help_of(name: str) -> str:
    command = COMMANDS[name]
    config_option = f"[--config={command.default}]" if command.default else "--config=FILE"
    workdir = "--workdir=FOLDER" if command.needs_workdir else "[--workdir=FOLDER]"
    word, keys = ("", "--config.KEY")
    if command.positional:
        word, keys = f" {command.positional.upper()}", "--KEY"
    return (
        f"tart-jax {name}: {command.help}\n\n"
        f"usage: tart-jax {name}{word} {config_option} {workdir} [{keys}=VALUE ...]\n\n"
        f"{config.describe(name)}"
    )


def dispatch(argv: Sequence[str]) -> None:
    """Runs one command; bad input raises InputError."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return
    if argv[0] in ("-V", "--version"):
        print(__version__)
        return
    name, *rest = argv
    if name not in COMMANDS:
        raise InputError(f"{name!r} is not a command; there are {', '.join(COMMANDS)}.")
    if {"-h", "--help", "--helpfull"} & set(rest):
        print(help_of(name))
        return
    command = COMMANDS[name]
    settings, workdir = config.parse(rest, command.default, name, command.positional)
    if workdir is None and command.needs_workdir:
        raise InputError(f"--workdir=FOLDER is missing: tart-jax {name} writes its outputs there.")
    if workdir is not None and Path(workdir).is_file():
        raise InputError(f"--workdir={workdir} is a file; it must name a folder.")
    # Before anything touches a device, as importing bm25s does.
    count = processes.start(heeds_sigterm=command.heeds_sigterm)
    if count > 1 and not command.processes:
        raise InputError(
            f"tart-jax {name} runs in one process, not in {count}; start it once, on one machine"
            f" ({', '.join(row for row in COMMANDS if COMMANDS[row].processes)} run in several)."
        )
    run = importlib.import_module(command.module).run
    if workdir is None:
        run(settings, None)
        return
    with recorded(settings, Path(workdir), ["tart-jax", *argv]):
        run(settings, Path(workdir))
    if (sentence := compilation.summary()) and not processes.several():
        log.info(sentence)


@contextlib.contextmanager
def recorded(settings: ConfigDict, workdir: Path, command: Sequence[str]) -> Iterator[None]:
    """As config.recorded; of several processes the first writes, and all must see it."""
    if not processes.several():
        with config.recorded(settings, workdir, command):
            yield
        return
    from tart_jax import distributed

    main = distributed.is_main_process()
    with config.recorded(settings, workdir, command) if main else contextlib.nullcontext():
        distributed.check_shared(workdir / config.ENVIRONMENT)
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """The console script: 0, 2 for bad input (one sentence on stderr), 130 when interrupted."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING)
    logging.getLogger("tart_jax").setLevel(logging.INFO)
    compilation.keep(os.environ)
    return processes.leave(_status(sys.argv[1:] if argv is None else argv))


def _status(argv: Sequence[str]) -> int:
    try:
        dispatch(argv)
    except InputError as error:
        print(f"tart-jax: {error}", file=sys.stderr)
        return 2
    except DivergedError as error:
        print(f"tart-jax: {error}", file=sys.stderr)
        return 1
    except EndedError as error:
        print(f"tart-jax: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("tart-jax: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `tart-jax ... | head`
        sys.stderr.close()
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK:
            sentence = (
                f"tart-jax: {error.strerror}: {error.filename or 'a file'}; what was finished"
                " before is whole, and the same command goes on from there."
            )
            atexit.register(_last_words, sentence)
            return 1
        if not processes.several():
            raise
        return processes.failed(error)
    return 0


def _last_words(sentence: str) -> None:
    """Ends the interpreter with this sentence, and with nothing after it.

    Orbax's threads print their own errors until the interpreter has waited for them, which it has
    when this is called; tensorstore's go on, and may be in the middle of a line.
    """
    ours = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.write(ours, f"\n{sentence}\n".encode())
    os._exit(1)
