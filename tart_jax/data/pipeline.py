"""The Grain chain from examples to host batches. The only file that knows Grain."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import grain

from tart_jax.data.batching import Batch
from tart_jax.data.mixture import Mixture
from tart_jax.types import InputError


class Batches:
    """Endless training batches; batch `s` is a function of (mixture, sampler, seed, s) alone.

    So a position in the data is a step number, and resuming is starting at another one. Each
    process gets its contiguous part of the global batch.
    """

    def __init__(
        self,
        mixture: Mixture,
        sample: Callable[..., Any],
        collate: Callable[..., Batch],
        *,
        batch_size: int,
        seed: int,
        homogeneous: bool = False,
        process_index: int = 0,
        process_count: int = 1,
    ):
        """batch_size: queries in the global batch. homogeneous: each batch is of one task.

        InputError: data or processes do not fit.
        """
        _check(mixture, batch_size, homogeneous, process_count)
        size = batch_size // process_count

        def rows(examples: Any, key: int) -> grain.MapDataset:
            return grain.MapDataset.source(examples).seed(key).shuffle().repeat().random_map(sample)

        def parts(dataset: grain.MapDataset) -> grain.MapDataset:
            # Local batches are dealt out, not rows: process h takes numbers h, h + count, ...
            return dataset.batch(size, batch_fn=list)[process_index::process_count]

        shares = [component.share for component in mixture.components]
        # Keyed by name: a task's own order does not change when others come or go.
        each = [rows(c.examples, _key(seed, c.task)) for c in mixture.components]
        if homogeneous:
            local = grain.MapDataset.mix([parts(dataset) for dataset in each], shares)
        elif mixture.together is not None:
            local = parts(rows(mixture.together, seed))
        else:
            local = parts(grain.MapDataset.mix(each, shares))
        self._rows, self._dataset = local, local.map(collate)

    def __getitem__(self, step: int) -> Batch:
        """The batch of one step, made here and now."""
        return self._dataset[step]

    def query_ids(self, step: int) -> list[str]:
        """The queries of this process's part of a batch, in order."""
        return [row.query_id for row in self._rows[step]]

    def iterate(self, start: int, *, workers: int = 0, prefetch: int = 2) -> Iterator[Batch]:
        """Batches from step `start` on, prepared ahead of time so that they overlap the step.

        workers: processes that prepare batches; 0 is one background thread, enough while the
        tokenizer (which uses all cores itself) is faster than the step.
        """
        options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=max(1, prefetch))
        # A slice rather than a restored iterator state: it is the same for any number of workers.
        batches = self._dataset[start:].to_iter_dataset(options)
        if workers:
            from absl import flags

            # Grain reads absl flags in its workers and fails where no absl app parsed them.
            flags.FLAGS.mark_as_parsed()
            batches = batches.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=prefetch)
            )
        return iter(batches)


def _key(seed: int, task: str) -> int:
    digest = hashlib.blake2b(f"{seed} {task}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def _check(mixture: Mixture, batch_size: int, homogeneous: bool, process_count: int) -> None:
    sizes = {component.task: len(component.examples) for component in mixture.components}
    smallest = min(sizes, key=lambda task: sizes[task])
    held, of = (sizes[smallest], f" of {smallest}") if homogeneous else (sum(sizes.values()), "")
    if held < batch_size:
        raise InputError(
            f"the training data hold {held} examples{of}, too few for one batch of {batch_size};"
            f" set --config.data.batch_size to {held} or less."
        )
    if batch_size % process_count:
        raise InputError(
            f"batch_size {batch_size} does not divide over {process_count} processes; try"
            f" {max(1, batch_size // process_count) * process_count}."
        )
