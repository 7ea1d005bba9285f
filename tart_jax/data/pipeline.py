"""The Grain chain from examples to host batches. The only file that knows Grain."""

from collections.abc import Callable, Iterator

import grain

from tart_jax.data.batching import Batch, Collator, Row
from tart_jax.data.sources import ExampleSource
from tart_jax.types import InputError


class Batches:
    """Endless training batches; batch `s` is a function of (source, sampler, seed, s) alone.

    So a position in the data is a step number, and resuming is starting at another one. Each
    process gets its contiguous part of the global batch.
    """

    def __init__(
        self,
        source: ExampleSource,
        sample: Callable[..., Row],
        collate: Collator,
        *,
        batch_size: int,
        seed: int,
        process_index: int = 0,
        process_count: int = 1,
    ):
        """batch_size: queries in the global batch. InputError: data or processes do not fit."""
        if len(source) < batch_size:
            raise InputError(
                f"the training data hold {len(source)} examples, too few for one batch of"
                f" {batch_size}; set --config.data.batch_size to {len(source)} or less."
            )
        if batch_size % process_count:
            raise InputError(
                f"batch_size {batch_size} does not divide over {process_count} processes; try"
                f" {max(1, batch_size // process_count) * process_count}."
            )
        rows = grain.MapDataset.source(source).seed(seed).shuffle().repeat().random_map(sample)
        # Local batches are dealt out, not rows: process h takes numbers h, h + count, ... of them.
        parts = rows.batch(batch_size // process_count, batch_fn=list)
        self._dataset = parts[process_index::process_count].map(collate)

    def __getitem__(self, step: int) -> Batch:
        """The batch of one step, made here and now."""
        return self._dataset[step]

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
