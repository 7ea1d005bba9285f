"""The TFDS builders `Berri` (examples) and `BerriCorpus` (documents), in array_record format.

Imports tensorflow_datasets, so it is itself imported only when a build begins; never TensorFlow.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer, shuffle, writer
from tensorflow_datasets.core.splits import SplitInfo
from tensorflow_datasets.core.utils import shard_utils
from tensorflow_datasets.proto import tf_example_pb2

from tart_jax.data.berri.buckets import Buckets

VERSION = "1.0.0"
FORMAT = "array_record"  # the only one that TFDS writes and reads whole without TensorFlow
DOCUMENT = ("doc_id", "title", "text")


@dataclass(eq=False)
class TaskConfig(tfds.core.BuilderConfig):
    """One task. Its records are `buckets` (JSON values), or come out of `transform` (Beam)."""

    citation: str = ""
    licence: str = ""
    buckets: Buckets | None = None
    transform: Any = None


class _Writer(writer.ExampleWriter):
    """Writes the same bytes for the same records: protobuf maps come in any order unless told."""

    def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> None:
        return super().write(path, ((key, _ordered(value)) for key, value in examples))


def _ordered(value: bytes) -> bytes:
    return tf_example_pb2.Example.FromString(value).SerializeToString(deterministic=True)


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    VERSION = tfds.core.Version(VERSION)
    code_path = None  # where TFDS would look for lists of checksums, with a package not declared
    split: ClassVar[str]
    features: ClassVar[dict[str, Any]]

    def _create_builder_config(self, builder_config: Any, version: Any) -> Any:
        return builder_config  # made for this build; the parent warns of one that it does not know

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        return tfds.core.DatasetInfo(
            builder=self,
            description=config.description,
            features=tfds.features.FeaturesDict(self.features),
            citation=config.citation,
            license=config.licence,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {self.split: self.builder_config.transform}

    def _generate_examples(self, *args: Any) -> Iterator[Any]:
        return iter(())  # never asked: records come from the buckets or from Beam

    def _example_writer(self) -> writer.ExampleWriter:
        return _Writer(file_format=self.info.file_format)

    def _log_download_bytes(self) -> None:
        pass  # prints to stdout otherwise, of downloads that there are not

    def _log_download_done(self) -> None:
        pass

    def _generate_splits(self, dl_manager: Any, download_config: Any) -> Sequence[SplitInfo]:
        buckets = self.builder_config.buckets
        if buckets is None:
            return super()._generate_splits(dl_manager, download_config)
        settled = buckets.settle(self._encoder())
        # The shards of TFDS's Beam writer, so that both ways write the same files.
        number = shard_utils.ShardConfig().get_number_shards(
            settled.size, settled.records, uses_precise_sharding=False
        )

        def shard(record: tuple[int, bytes]) -> int:
            return shuffle.get_bucket_number(record[0], number, settled.largest)

        lengths = Counter(map(shard, buckets.read()))  # a shard that gets nothing is not written
        template = self._get_filename_template(split_name=self.split)
        for index, (_, records) in enumerate(groupby(buckets.read(), key=shard)):
            path = template.sharded_filepath(shard_index=index, num_shards=len(lengths))
            self._example_writer().write(path, records)
        return [
            SplitInfo(
                name=self.split,
                shard_lengths=[lengths[index] for index in sorted(lengths)],
                num_bytes=settled.size,
                filename_template=template,
            )
        ]

    def _encoder(self) -> Callable[[bytes], bytes]:
        features = self.info.features
        serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
        return lambda value: serializer.serialize_example(
            features.encode_example(json.loads(value))
        )


def _texts(names: Iterable[str]) -> dict[str, Any]:
    return {name: tfds.features.Text() for name in names}


class Berri(_Builder, skip_registration=True):  # type: ignore[call-arg]
    """The examples of a task, as `TfdsSource` reads them."""

    name = "berri"
    split = "train"
    features = _texts(("task", "query_id", "query")) | {
        name: tfds.features.Sequence(_texts(DOCUMENT))
        for name in ("positives", "negatives", "hard_negatives")
    }


class BerriCorpus(_Builder, skip_registration=True):  # type: ignore[call-arg]
    """The retrieval corpus of a task, as `corpus.read_documents` reads it."""

    name = "berri_corpus"
    split = "corpus"
    features = _texts(DOCUMENT)


def folder(builder: type[_Builder], workdir: Path, task: str) -> Path:
    """Where a builder writes a task."""
    return workdir / builder.name / task / VERSION


def write(
    builder: type[_Builder],
    workdir: Path,
    config: TaskConfig,
    temporary: Path,
    *,
    beam: dict[str, Any] | None = None,
) -> int:
    """Writes one task's records to `folder(...)`; returns how many. beam: runner and options."""
    tfds.disable_progress_bar()
    made = builder(data_dir=workdir, config=config)
    made.download_and_prepare(
        file_format=FORMAT,
        download_dir=temporary,  # TFDS wants one, and puts nothing there
        download_config=tfds.download.DownloadConfig(try_download_gcs=False, **(beam or {})),
    )
    return made.info.splits[builder.split].num_examples
