"""Stage: read the data set and hold out its validation and test sets."""

from itertools import pairwise
from typing import Final

import numpy as np

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.architectures import check_image_size
from peerkd.config.launch import LaunchConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.pipelines import PCL
from peerkd.config.resolve import resolve
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.partition.scarcity import find_scarcities, small_training_sets
from peerkd.launch.backends import check_device, check_launch
from peerkd.launch.exit_codes import exiting_on_errors
from peerkd.metrics.progress import print_line
from peerkd.stages.dataset import open_source, print_remarks, publish_source
from peerkd.stages.free_space import check_free_space
from peerkd.stages.hold_out import hold_out
from peerkd.stages.opened_store import open_stage_store
from peerkd.stages.run_record import find_route, record_run
from peerkd.stages.sample_images import publish_samples
from peerkd.stages.tracking import check_tracking
from peerkd.training.bounds import batch_bounds, part_of
from peerkd.training.forecast_study import forecast_study, measure_split

NAME: Final = "split_data"


def run(
    *,
    preset: str,
    config_json: str,
    overrides: str,
    store: str,
    output_path: str,
    **launch: str,
) -> tuple[str, str]:
    """Do the first task of a pipeline: publish the data set and its split, and return the inputs of later tasks.

    The inputs of all later tasks are checked here too, so that a mistake stops the run before any work.

    Args:
        preset: The name of a preset. Empty: ``digits``, or the defaults of all fields if ``config_json`` is given.
        config_json: A study as YAML or JSON on top of the preset, or empty.
        overrides: ``key=value`` pairs separated by spaces.
        store: The address of the artifact store.
        output_path: The file to which the reference to the split is written.
        launch: The parameters of ``LaunchConfig.from_parameters``.

    Returns:
        The whole study and the launch description, both as JSON that includes all default values.
    """
    with exiting_on_errors(NAME):
        launched = LaunchConfig.from_parameters(**launch)
        check_launch(launched)
        config = resolve(PCL, preset=preset, config_json=config_json, overrides=overrides)
        check_device(launched, config.compute.device)
        references.write(output_path, split(config, open_stage_store(NAME, store)))
    return config.to_json(), launched.to_json()


def split(config: PclConfig, store: ArtifactStore) -> Manifest:
    """Publish the data set and the split of a study, unless the store has them already.

    The record of the run is published too, so that ``peerkd runs`` can list the run.

    Raises:
        ValueError: If an architecture does not accept the images, the data cannot be split as the config requires, or
            the store has too little space for the results, or a package for ``compute.tracking`` is missing.
    """
    check_tracking(config, store)
    source = open_source(NAME, config.data, seed=config.seed, store=store)
    print_remarks(NAME, source.dataset)
    # All checks come before anything is written, so that a refused study leaves nothing in the store.
    image_shape_CHW = source.dataset.image_shape
    assignment, too_little = divide_study(config, source.dataset)
    for sentence in (*too_little, *batch_warnings(config, num_train=len(assignment.train[0]))):
        print_line(NAME, f"warning: {sentence}")
    if not source.published:
        expected = forecast_study(config, measure_split(source.dataset, assignment))
        check_free_space(store, {"data set": expected.dataset_bytes, "networks": expected.networks_bytes})
    dataset = publish_source(source, store)
    artifact = key(config, dataset)
    sizes = {
        "num_train": len(assignment.train[0]),
        "num_validation": len(assignment.validation),
        "num_test": len(assignment.test),
    }
    summary = "{num_train:,} training, {num_validation:,} validation and {num_test:,} test samples".format(**sizes)
    route = find_route(PCL.name, None)
    done = store.find(artifact)
    if done:
        print_line(NAME, f"already done: {summary} of {source.dataset.name}")
        record_run(config, done, store, route=route)
        return done
    samples = publish_samples(artifact, source.dataset, assignment, store)
    with store.open_workspace(artifact) as workspace:
        assignment.save(workspace.folder)
        manifest = store.publish(
            artifact,
            metadata={
                "inputs": {"dataset": references.reference(dataset), "samples": references.reference(samples)},
                "fingerprint": assignment.fingerprint,
                "name": source.dataset.name,
                "class_names": list(source.dataset.class_names),
                "image_shape": list(image_shape_CHW),
                "warnings": too_little,
                **sizes,
            },
        )
    print_line(NAME, f"{summary} of {source.dataset.name}")
    record_run(config, manifest, store, route=route)
    return manifest


def divide_study(config: PclConfig, dataset: ImageDataset | RawDataset) -> tuple[Assignment, list[str]]:
    """Return the split of the data set of a study, as the assignment to a single peer, and warnings about it.

    ``peerkd plan`` and ``peerkd run`` both divide data sets with this function.

    Raises:
        ValueError: If an architecture does not accept the images, or the data cannot be split as the config requires.
    """
    for architecture in config.architectures:
        check_image_size(architecture, dataset.image_shape)
    assignment = _assign(config, dataset)
    _check_parts(config, num_train=len(assignment.train[0]))
    return assignment, find_scarcities(np.asarray(dataset.labels_N), assignment, class_names=dataset.class_names)


def batch_warnings(config: PclConfig, *, num_train: int) -> list[str]:
    """Return a warning if the batch size is larger than the training set, and otherwise an empty list.

    The batch size is not part of a split, so this warning is not published with it.
    """
    return small_training_sets(np.array([num_train]), {"training.batch_size": config.training.batch_size})


def key(config: PclConfig, dataset: Manifest) -> str:
    """Return the key of the split of a data set, given the config."""
    fields = ("seed", "data.test_fraction", "data.validation_fraction")
    causes = {"dataset": dataset.metadata["fingerprint"], "config": keys.differences(config, fields=fields)}
    return keys.key(NAME, causes)


def _check_parts(config: PclConfig, *, num_train: int) -> None:
    """Check that the processes of a run can share its batches.

    Raises:
        ValueError: If a batch has too few samples for the number of processes.
    """
    for start, stop in pairwise(batch_bounds(num_train, batch_size=config.training.batch_size)):
        part_of((start, stop), (0, config.training.num_processes))


def _assign(config: PclConfig, dataset: ImageDataset | RawDataset) -> Assignment:
    """Return the split as an assignment to a single peer, which has all training samples."""
    pool, validation, test, _ = hold_out(config.data, dataset, seed=config.seed)
    nothing = np.empty(0, dtype=np.int64)
    return Assignment(
        train=(np.sort(pool),),
        own_validation=(nothing,),
        own_test=(nothing,),
        validation=np.sort(validation),
        test=np.sort(test),
        public=nothing,
    )
