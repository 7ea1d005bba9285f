"""Stage `prepare`: builds a data set into a folder."""

import logging
from pathlib import Path

from ml_collections import ConfigDict

from tart_jax.data import python_library
from tart_jax.tables import Table

logger = logging.getLogger(__name__)


def run(config: ConfigDict, workdir: Path) -> None:
    """Builds the Python library tasks; a finished folder of the same options is left as it is."""
    stats = python_library.build(
        workdir,
        seed=config.seed,
        packages=tuple(config.packages),
        max_modules=config.max_modules or None,
        max_train_per_task=config.max_train_per_task,
        max_test_queries_per_task=config.max_test_queries,
        max_dev_queries_per_task=config.max_dev_queries,
        max_test_documents_per_task=config.max_test_documents,
        max_dev_documents_per_task=config.max_dev_documents,
        num_negatives=config.num_negatives,
        duplicate_threshold=config.duplicate_threshold,
    )
    summary(stats).show()


def summary(stats: dict) -> Table:
    """Counts of each task, and what left the training set."""
    header = ["task", "train", "dev queries", "test queries", "test documents", "averaged"]
    rows = [
        [
            task,
            f"{counts['train']:,}",
            f"{counts['dev']['queries']:,}",
            f"{counts['test']['queries']:,}",
            f"{counts['test']['documents']:,}",
            "yes" if counts["averaged"] else "no",
        ]
        for task, counts in stats["tasks"].items()
    ]
    removed = ", ".join(f"{count:,} {what}" for what, count in stats["repeats_removed"].items())
    note = (
        f"{stats['python']}: {stats['modules']:,} modules, {stats['functions']:,} functions."
        f" Left the training set, repeating a held-out text: {removed or 'nothing'}."
        f" Unreadable files skipped: {len(stats['bad_files'])}."
    )
    return Table("Data set", header, rows, note)
