"""The data set of an experiment: read from its source once, then found in the store."""

from pathlib import Path
from typing import Final, NamedTuple

from peerkd.artifacts import keys
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.data import DataConfig
from peerkd.data.dataset import ImageDataset, RawDataset, write_packed
from peerkd.data.passed_over import describe, to_json
from peerkd.data.sources import limit_samples, read_source
from peerkd.data.sources.signature import signature
from peerkd.data.streamed import StreamedDataset, index_image_folder, open_dataset, write_index
from peerkd.metrics.progress import say
from peerkd.seeds import generator

_READINGS: Final = {"npz": 2}
"""Version of how a source is read, for each source whose files were once read as another data set.

It is part of the key, so that a store's old reading of the same files is not taken for the new one.
"""


class Source(NamedTuple):
    """A data set that can be looked at before it is published."""

    dataset: ImageDataset | RawDataset
    key: str
    published: Manifest | None


def open_source(data: DataConfig, *, seed: int, store: ArtifactStore) -> Source:
    """Open the data set from the store if it is there, otherwise read it from where the config says.

    Raises:
        ValueError: If the config asks for what the source does not have.
        DataSourceError: If the source is missing or damaged.
    """
    key = _key(data, seed)
    published = store.find(key)
    return Source(open_dataset(store.fetch(key)) if published else _read(data, seed), key, published)


def publish_source(source: Source, store: ArtifactStore) -> Manifest:
    """Publish the data set, unless it is there."""
    if source.published:
        return source.published
    dataset = source.dataset
    with store.open_workspace(source.key) as workspace:
        if isinstance(dataset, StreamedDataset):
            fingerprint = write_index(workspace.folder, dataset)
        else:
            assert isinstance(dataset, RawDataset)
            fingerprint = write_packed(workspace.folder, dataset)
        metadata = {
            "name": dataset.name,
            "fingerprint": fingerprint,
            "num_samples": len(dataset.labels_N),
            "class_names": list(dataset.class_names),
            "label_values": list(dataset.label_values),
            "remarks": list(dataset.remarks),
            "passed_over": to_json(dataset.passed_over),
        }
        return store.publish(source.key, metadata=metadata)


def say_remarks(stage: str, dataset: ImageDataset | RawDataset) -> None:
    """Print how the source was read: one line for each remark, and one for all that was passed over."""
    for remark in dataset.remarks:
        say(stage, f"{dataset.name}: {remark}")
    if dataset.passed_over:
        say(stage, f"{dataset.name}: passed over: {describe(dataset.passed_over)}")


def _key(data: DataConfig, seed: int) -> str:
    reading = {"reading": _READINGS[data.source]} if data.source in _READINGS else {}
    limits = {"max_train_samples": data.max_train_samples, "max_test_samples": data.max_test_samples}
    return keys.key(
        "dataset",
        {
            "source": data.source,
            "signature": signature(data.path),
            "image_size_pixels": data.image_size_pixels,
            "storage": data.storage,
            **limits,
            **reading,
            # The seed chooses a subset; it plays no part where everything is kept.
            "seed": seed if any(limits.values()) else None,
        },
    )


def _read(data: DataConfig, seed: int) -> RawDataset | StreamedDataset:
    if data.storage == "streamed":
        assert data.path is not None
        assert data.image_size_pixels is not None
        return index_image_folder(Path(data.path), image_size_pixels=data.image_size_pixels)
    raw = read_source(data.source, path=data.path, image_size_pixels=data.image_size_pixels)
    return limit_samples(
        raw,
        max_train_samples=data.max_train_samples,
        max_test_samples=data.max_test_samples,
        rng=generator(seed, "subset"),
    )
