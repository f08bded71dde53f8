"""Stage: read the data set, and divide it among the peers."""

from pathlib import Path
from typing import Any

import numpy as np

from peerkd.artifacts import keys, references
from peerkd.artifacts.open import open_store
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.resolve import resolve
from peerkd.data import skew
from peerkd.data.dataset import ImageDataset, RawDataset, write_packed
from peerkd.data.partition.assignment import Assignment
from peerkd.data.sources import limit_samples, read_source
from peerkd.data.sources.signature import signature
from peerkd.data.streamed import StreamedDataset, index_image_folder, open_dataset, write_index
from peerkd.launch.edge import stage_edge
from peerkd.metrics.progress import say
from peerkd.seeds import generator
from peerkd.stages.division import divide

NAME = "partition_data"


def run(*, preset: str, config_json: str, overrides: str, store: str, partition_path: str) -> str:
    """Publish the data set and its partition; return the whole experiment as JSON, every default written out.

    Args:
        preset: Name of a preset, not looked at when ``config_json`` is given.
        config_json: A whole experiment as JSON, or empty.
        overrides: ``key=value`` pairs parted by white space.
        store: Address of the artifact store.
        partition_path: File that takes the reference to the partition.
    """
    with stage_edge(NAME):
        config = resolve(preset=preset, config_json=config_json, overrides=overrides)
        manifest = partition(config, open_store(store))
        references.write(partition_path, manifest)
    return config.to_json()


def partition(config: ExperimentConfig, store: ArtifactStore) -> Manifest:
    """Publish the data set and the partition of an experiment, unless they are there."""
    dataset_key = _dataset_key(config)
    published = store.find(dataset_key)
    # Divided before anything is written: a partition that cannot exist must leave nothing behind.
    source = open_dataset(store.fetch(dataset_key)) if published else _read(config)
    assignment = divide(config, source)
    dataset = published or _publish_dataset(dataset_key, source, store)
    key = keys.key(
        NAME,
        {
            "dataset": dataset.metadata["fingerprint"],
            "partition": config.partition.model_dump(mode="json"),
            "test_fraction": config.data.test_fraction,
            "validation_fraction": config.data.validation_fraction,
            "seed": config.seed,
        },
    )
    sizes = [len(part) for part in assignment.train]
    summary = f"{len(sizes)} peers with {min(sizes):,} to {max(sizes):,} training samples of {source.name}"
    done = store.find(key)
    if done:
        say(NAME, f"already done: {summary}")
        return done
    with store.open_workspace(key) as workspace:
        assignment.save(workspace)
        inputs = {"dataset": references.reference(dataset)}
        manifest = store.publish(key, metadata={"inputs": inputs, **_describe(assignment, source)})
    say(NAME, summary)
    return manifest


def _dataset_key(config: ExperimentConfig) -> str:
    data = config.data
    limits = {"max_train_samples": data.max_train_samples, "max_test_samples": data.max_test_samples}
    return keys.key(
        "dataset",
        {
            "source": data.source,
            "signature": signature(data.path),
            "image_size_pixels": data.image_size_pixels,
            "storage": data.storage,
            **limits,
            # The seed chooses a subset; it plays no part where everything is kept.
            "seed": config.seed if any(limits.values()) else None,
        },
    )


def _read(config: ExperimentConfig) -> RawDataset | StreamedDataset:
    data = config.data
    if data.storage == "streamed":
        assert data.path is not None
        assert data.image_size_pixels is not None
        return index_image_folder(Path(data.path), image_size_pixels=data.image_size_pixels)
    raw = read_source(data.source, path=data.path, image_size_pixels=data.image_size_pixels)
    return limit_samples(
        raw,
        max_train_samples=data.max_train_samples,
        max_test_samples=data.max_test_samples,
        rng=generator(config.seed, "subset"),
    )


def _publish_dataset(key: str, source: ImageDataset | RawDataset, store: ArtifactStore) -> Manifest:
    with store.open_workspace(key) as workspace:
        if isinstance(source, StreamedDataset):
            fingerprint = write_index(workspace, source)
        else:
            assert isinstance(source, RawDataset)
            fingerprint = write_packed(workspace, source)
        metadata = {"name": source.name, "fingerprint": fingerprint, "num_samples": len(source.labels_N)}
        return store.publish(key, metadata=metadata)


def _describe(assignment: Assignment, source: ImageDataset | RawDataset) -> dict[str, Any]:
    """Return what a report tells of a partition."""
    num_classes = len(source.class_names)
    counts_PK = skew.class_counts(np.asarray(source.labels_N), assignment.train, num_classes=num_classes)
    distances = {
        "jensen_shannon": skew.jensen_shannon_distance(counts_PK),
        "hellinger": skew.hellinger_distance(counts_PK),
        "earth_movers": skew.earth_movers_distance(counts_PK),
    }
    return {
        "fingerprint": assignment.fingerprint,
        "num_peers": assignment.num_peers,
        "class_names": list(source.class_names),
        "class_counts": counts_PK.tolist(),
        "num_validation": len(assignment.validation),
        "num_test": len(assignment.test),
        "num_public": len(assignment.public),
        "num_own_validation": [len(part) for part in assignment.own_validation],
        "num_own_test": [len(part) for part in assignment.own_test],
        "distances": {name: matrix.tolist() for name, matrix in distances.items()},
    }
