"""Stage: read the data set and divide it among the peers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.launch import LaunchConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.pipelines import COLLABORATE, JOINTKD, Pipeline
from peerkd.config.resolve import resolve, split_overrides
from peerkd.config.tuning import check_grid, check_strategy
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition import skew
from peerkd.data.partition.assignment import Assignment
from peerkd.excerpt import plain
from peerkd.launch.backends import check_device, check_launch
from peerkd.launch.exit_codes import exiting_on_errors
from peerkd.metrics.progress import print_line
from peerkd.stages import listed_samples
from peerkd.stages.dataset import print_remarks, publish_source
from peerkd.stages.division import batch_warnings, divide, division_warnings
from peerkd.stages.free_space import CERTAIN_FRACTION, check_free_space
from peerkd.stages.given_check import check_given_peers
from peerkd.stages.given_weights import Weights, check_paths, file_sizes, found_weights, publish_weights
from peerkd.stages.opened_store import open_stage_store
from peerkd.stages.peer_data import open_data
from peerkd.stages.peer_names import names_of_origins, shared_origins
from peerkd.stages.published_peers import check_same_data, find_published
from peerkd.stages.run_record import find_route, record_run
from peerkd.stages.sample_images import publish_samples
from peerkd.stages.tracking import check_tracking
from peerkd.training.forecast import dataset_bytes, forecast, measure_partition, peer_bytes
from peerkd.wording import plural

NAME = "partition_data"

_PIPELINES: Final[Mapping[str, Pipeline[PeerExperimentConfig]]] = {each.name: each for each in (JOINTKD, COLLABORATE)}


def run(
    *,
    pipeline: str = JOINTKD.name,
    preset: str,
    config_json: str,
    overrides: str,
    strategy: str = "sweep",
    store: str,
    output_path: str,
    **launch: str,
) -> tuple[str, str]:
    """Do the first task of a pipeline: publish the data set and its partition, and return the inputs of later tasks.

    The inputs of all later tasks are checked here too, so that a mistake stops the run before any work.

    Args:
        pipeline: The pipeline whose first task this is: ``jointkd`` or ``collaborate``.
        preset: The name of a preset. Empty: ``digits``, or the defaults of all fields if ``config_json`` is given.
        config_json: An experiment as YAML or JSON on top of the preset, or empty.
        overrides: ``key=value`` pairs separated by spaces.
        strategy: ``sweep`` or ``tune``. It has no effect on the pipeline ``collaborate``.
        store: The address of the artifact store.
        output_path: The file to which the references to the partitions of all studies are written.
        launch: The parameters of ``LaunchConfig.from_parameters``.

    Returns:
        The whole experiment and the launch description, both as JSON that includes all default values.
    """
    with exiting_on_errors(NAME):
        if pipeline not in _PIPELINES:
            raise ValueError(f"pipeline must be one of {', '.join(_PIPELINES)}, got {plain(pipeline)}.")
        check_strategy(strategy, split_overrides(overrides))
        launched = LaunchConfig.from_parameters(**launch)
        check_launch(launched)
        config = resolve(_PIPELINES[pipeline], preset=preset, config_json=config_json, overrides=overrides)
        check_device(launched, config.compute.device)
        opened = open_stage_store(NAME, store)
        references.write(output_path, *(partition(study, opened, strategy=strategy) for study in config.studies))
    return config.to_json(), launched.to_json()


def partition(
    config: PeerExperimentConfig, store: ArtifactStore, *, strategy: str = "sweep", num_processes: int = 1
) -> Manifest:
    """Publish the data set, the partition, and any weights with which peers start, unless the store has them already.

    The record of the run is published too, so that ``peerkd runs`` can list the run.

    Args:
        config: The experiment.
        store: The artifact store.
        strategy: ``sweep`` or ``tune``. It has no effect on an experiment with rounds.
        num_processes: 1 means to check given networks in a separate process, 0 in the calling process.

    Raises:
        ValueError: If the grid does not fit the strategy, or the data set, a given peer or the peers of an earlier run
            do not fit the experiment, or the store has too little space for the results, or a package for
            ``compute.tracking`` is missing.
    """
    if isinstance(config, ExperimentConfig):
        check_grid(config.sweep, strategy)
    check_tracking(config, store)
    # A mistake in peers.from is found before the data are read.
    published = find_published(config, store)
    check_paths(config)
    source = open_data(NAME, config, store=store)
    print_remarks(NAME, source.dataset)
    # The data are divided before anything is written, so that a refused experiment leaves nothing in the store.
    assignment = divide(config, source.dataset)
    if published:
        check_same_data(published, source.dataset, assignment)
    sizes = [len(part) for part in assignment.train]
    for remark in shared_origins(config, source.dataset, assignment):
        print_line(NAME, remark)
    too_little = division_warnings(config, source.dataset, assignment)
    names = names_of_origins(config, source.dataset, assignment)
    for sentence in (*too_little, *batch_warnings(config, np.array(sizes), peer_names=names)):
        print_line(NAME, f"warning: {sentence}")
    with found_weights(config, store, stage=NAME) as files:
        check_given_peers(
            config,
            files,
            image_shape_CHW=source.dataset.image_shape,
            class_names=source.dataset.class_names,
            stage=NAME,
            remarks=source.dataset.remarks,
            num_processes=num_processes,
        )
        if not source.published:
            needed = _bytes_to_write(config, source.dataset, assignment, files, strategy=strategy)
            check_free_space(store, needed)
        weights = publish_weights(files, store)
    dataset = publish_source(source, store)
    artifact = key(config, dataset, weights)
    summary = f"{plural(len(sizes), 'peer')} with {_range(sizes)} of {source.dataset.name}"
    has_rounds = isinstance(config, CollaborateConfig)
    route = find_route(COLLABORATE.name, None) if has_rounds else find_route(JOINTKD.name, strategy)
    done = store.find(artifact)
    if done:
        print_line(NAME, f"already done: {summary}")
        record_run(config, done, store, route=route)
        return done
    samples = publish_samples(artifact, source.dataset, assignment, store)
    with store.open_workspace(artifact) as workspace:
        assignment.save(workspace.folder)
        inputs = {
            "dataset": references.reference(dataset),
            "samples": references.reference(samples),
            **({"weights": weights} if any(weights) else {}),
        }
        metadata = {
            "inputs": inputs,
            "warnings": too_little,
            **({"peer_names": names} if names else {}),
            **_describe(assignment, source.dataset),
        }
        manifest = store.publish(artifact, metadata=metadata)
    print_line(NAME, summary)
    record_run(config, manifest, store, route=route)
    return manifest


def key(config: PeerExperimentConfig, dataset: Manifest, weights: Sequence[Mapping[str, str] | None] = ()) -> str:
    """Return the key of the partition, given the config, the data set and the references to given weights."""
    fields = ("seed", "partition", "data.test_fraction", "data.validation_fraction")
    # The contents of index files count, not their paths.
    listed = listed_samples.causes(config)
    differences = keys.differences(config, fields=fields, without=("partition.label_skew",) if listed else ())
    causes = {"dataset": dataset.metadata["fingerprint"], "config": differences, **listed}
    if any(weights):
        # A partition refers to the weights, so that later stages find them.
        causes["weights"] = [reference and reference["fingerprint"] for reference in weights]
    return keys.key(NAME, causes)


def _range(sizes: Sequence[int]) -> str:
    """Return the smallest and the largest of the peers' numbers of training samples, in words."""
    low, high = min(sizes), max(sizes)
    return f"{plural(low, 'training sample')} each" if low == high else f"{low:,} to {high:,} training samples"


def _bytes_to_write(
    config: PeerExperimentConfig,
    source: ImageDataset | RawDataset,
    assignment: Assignment,
    files: Weights,
    *,
    strategy: str,
) -> dict[str, float]:
    """Return the minimum number of bytes that a run writes, by kind of data."""
    given_bytes = file_sizes(files)
    sizes = measure_partition(source, assignment)
    weights_bytes = sum(peer_bytes(config, sizes, given_bytes=given_bytes))
    parts: dict[str, float] = {"data set": dataset_bytes(config, sizes), "weights of the peers": weights_bytes}
    parts["copies of given weights"] = sum(filter(None, given_bytes))
    parts["weights of the better peers"] = weights_bytes
    if isinstance(config, ExperimentConfig) and strategy == "sweep":
        expected = forecast(config, sizes, given_bytes=given_bytes)
        # The journals count twice, because their records are copied while the table is built.
        parts["journals of the sweep"] = 2 * CERTAIN_FRACTION * expected.journals_bytes
        parts["table of trials"] = CERTAIN_FRACTION * expected.table_bytes
    return parts


def _describe(assignment: Assignment, source: ImageDataset | RawDataset) -> dict[str, Any]:
    """Return numbers about a partition, such as the sizes of its sets, for the manifest and the report."""
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
        **{
            f"{split}_class_counts": np.bincount(np.asarray(source.labels_N)[part], minlength=num_classes).tolist()
            for split, part in (("validation", assignment.validation), ("test", assignment.test))
        },
        "num_validation": len(assignment.validation),
        "num_test": len(assignment.test),
        "num_public": len(assignment.public),
        "image_shape": list(source.image_shape),
        "num_own_validation": [len(part) for part in assignment.own_validation],
        "num_own_test": [len(part) for part in assignment.own_test],
        "distances": {name: matrix.tolist() for name, matrix in distances.items()},
    }
