"""The data set of an experiment: read from its source once, and from the store afterwards."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, NamedTuple

from peerkd.artifacts import keys
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.data import DataConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.packed import write_packed
from peerkd.data.skipped import SkippedEntries, describe, from_json, to_json
from peerkd.data.sources import limit_samples, move_to_test, read_source
from peerkd.data.sources.pixel_rules import PixelRules, ReportProgress
from peerkd.data.streamed import StreamedDataset, index_image_folder, open_dataset, write_index
from peerkd.data.wording import WARNING
from peerkd.metrics.progress import print_line
from peerkd.seeds import generator
from peerkd.stages.hold_out import split_off_test
from peerkd.stages.remote_data import data_signature, local_data, local_file

_SECONDS_BETWEEN_LINES: Final = 5.0


class Source(NamedTuple):
    """A data set that is open for reading, and its artifact if it is already published."""

    dataset: ImageDataset | RawDataset
    key: str
    published: Manifest | None


def open_source(stage: str, data: DataConfig, *, seed: int, store: ArtifactStore) -> Source:
    """Open the data set in the store if it exists, otherwise read it from its source.

    Raises:
        ValueError: If the config does not fit the source.
        DataSourceError: If the source is missing or damaged.
    """
    artifact = key(data, seed, stage=stage)
    published = store.find(artifact)
    dataset = open_dataset(store.fetch(artifact)) if published else read_dataset(stage, data, seed=seed)
    return Source(dataset, artifact, published)


def read_dataset(stage: str, data: DataConfig, *, seed: int) -> RawDataset | StreamedDataset:
    """Read the data set from its source, with at most as many samples as the config allows.

    If the config limits the number of samples, the returned data set always has a test split. If the source has no test
    split, the test split is held out from the complete data set first. Then the training split and the test split are
    reduced to their limits.

    ``peerkd plan`` and ``peerkd run`` both read data sets with this function.

    Args:
        stage: The name of the stage, for progress lines.
        data: The config of the data set.
        seed: The seed of the choice of samples, if the config limits their number.

    Raises:
        ValueError: If the config does not fit the source.
        DataSourceError: If the source is missing or damaged.
    """
    progress = reading_progress(stage)
    with _local_columns(stage, data) as columns_path:
        if data.storage == "streamed":
            assert data.path is not None
            return index_image_folder(
                Path(data.path),
                pixel_rules(data),
                skip_damaged=data.skip_damaged,
                columns_path=columns_path,
                progress=progress,
            )
        with local_data(stage, data.path, progress=progress) as path:
            raw = read_source(
                data.source,
                path=path,
                rules=pixel_rules(data),
                skip_damaged=data.skip_damaged,
                columns_path=columns_path,
                progress=progress,
            )
    if not _is_limited(data):
        return raw
    _, test = split_off_test(data, raw, seed=seed)
    return limit_samples(
        move_to_test(raw, test),
        max_train_samples=data.max_train_samples,
        max_test_samples=data.max_test_samples,
        rng=generator(seed, "subset"),
    )


def _local_columns(stage: str, data: DataConfig) -> AbstractContextManager[Path | None]:
    if data.columns_path is None:
        return nullcontext()
    return local_file(stage, data.columns_path, field="data.columns_path")


def publish_source(source: Source, store: ArtifactStore) -> Manifest:
    """Publish the data set unless the store has it already, and return its manifest."""
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
            "skipped": to_json(dataset.skipped),
        }
        return store.publish(source.key, metadata=metadata)


def print_remarks(stage: str, dataset: ImageDataset | RawDataset) -> None:
    """Print the remarks on how the source of a data set was read, each on its own line."""
    for line in remark_lines(dataset):
        print_line(stage, line)


def remark_lines(dataset: ImageDataset | RawDataset) -> list[str]:
    """Return a line for each remark on how the source of a data set was read.

    A line begins with the name of the data set unless it is a warning.
    """
    remarks = reading_remarks(dataset.remarks, dataset.skipped)
    return [remark if remark.startswith(WARNING) else f"{dataset.name}: {remark}" for remark in remarks]


def reading_remarks(remarks: Iterable[str], skipped: Sequence[SkippedEntries]) -> list[str]:
    """Return all remarks on how a source was read, including the skipped entries."""
    return [*remarks, *([f"skipped: {describe(skipped)}"] if skipped else [])]


def published_remarks(dataset: Manifest) -> tuple[str, ...]:
    """Return the remarks on how the source of a published data set was read, from its manifest."""
    return tuple(reading_remarks(dataset.metadata["remarks"], from_json(dataset.metadata["skipped"])))


def pixel_rules(data: DataConfig) -> PixelRules:
    """Return the rules that convert the files of an image folder to 8-bit RGB."""
    red, green, blue = data.background
    pixel_range = None if data.pixel_range is None else (data.pixel_range[0], data.pixel_range[1])
    return PixelRules(data.image_size_pixels, pixel_range, (red, green, blue))


def reading_progress(
    stage: str, *, write: Callable[[str, str], None] = print_line, clock: Callable[[], float] = time.monotonic
) -> ReportProgress:
    """Return a callback that prints, every few seconds, how many images have been read.

    Args:
        stage: The name of the stage that reads the images.
        write: A function that prints a line for a stage.
        clock: A function that returns a time in seconds.
    """
    last_said = clock()

    def report(num_read: int, total: int) -> None:
        nonlocal last_said
        if clock() - last_said >= _SECONDS_BETWEEN_LINES:
            last_said = clock()
            write(stage, f"read {num_read:,} of {total:,} images")

    return report


def key(data: DataConfig, seed: int, *, stage: str) -> str:
    """Return the key of the data set that results from a config, a seed and the files of the source.

    Args:
        data: The config of the data set.
        seed: The seed of the choice of samples, if the config limits their number.
        stage: The name of the stage that asks for the key, for messages.
    """
    # The signature stands for the files, and later stages hold out parts of the data set.
    differences = keys.differences(data, without=("path", "columns_path", "test_fraction", "validation_fraction"))
    is_limited = _is_limited(data)
    causes: dict[str, Any] = {
        "signature": data_signature(stage, data.path, is_flat=data.source == "npz"),
        "config": differences,
        # The seed chooses a subset, so it has no effect if all samples are kept.
        "seed": seed if is_limited else None,
    }
    if data.columns_path is not None:
        causes["columns"] = data_signature(stage, data.columns_path)
    if is_limited:
        # A limit applies to a test split, which is therefore held out here if the source has none.
        causes["test_fraction"] = data.test_fraction
    return keys.key("dataset", causes)


def _is_limited(data: DataConfig) -> bool:
    return data.max_train_samples is not None or data.max_test_samples is not None
