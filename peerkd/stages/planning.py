"""The preparation of a forecast: the checks that a run makes first, and the sizes from which its work is computed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from peerkd.artifacts.store import ArtifactStore
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.partition.skew import class_counts
from peerkd.data.skipped import MissingSamplesError, describe
from peerkd.stages import split_data
from peerkd.stages.dataset import read_dataset, remark_lines
from peerkd.stages.division import batch_warnings, divide, division_warnings
from peerkd.stages.given_check import check_given_peers
from peerkd.stages.given_weights import check_paths, file_sizes, found_weights
from peerkd.stages.peer_data import read_data
from peerkd.stages.peer_names import names_of_peers, shared_origins
from peerkd.stages.published_peers import check_same_data, find_published
from peerkd.training.forecast import PartitionSizes, measure_partition
from peerkd.training.forecast_study import SplitSizes, measure_split


class PlannedPeer(NamedTuple):
    """A peer and the training samples that it would have."""

    name: str
    class_counts: dict[str, int]
    """The number of training samples of each class of which the peer has any, the most frequent class first."""


class Prepared(NamedTuple):
    """An experiment that a run would accept."""

    data_lines: list[str]
    """The lines that a run would print about its data."""

    peers: list[PlannedPeer]
    samples: PartitionSizes
    given_bytes: list[int | None]
    """The size of the file with the weights that the user gives for each peer; None for a peer without such a file."""


class PreparedStudy(NamedTuple):
    """A study of methods that a run would accept."""

    data_lines: list[str]
    """The lines that a run would print about its data."""

    samples: SplitSizes


def prepare(config: PeerExperimentConfig, store: ArtifactStore | None) -> Prepared:
    """Read and divide the data of an experiment, and check it as the first stage of its run does.

    Args:
        config: The experiment.
        store: The store of the run. None: peers of earlier runs are not looked up.

    Raises:
        ValueError: If the data set or a given peer does not fit the experiment.
        DataSourceError: If the data set is missing or damaged.
    """
    published = None if store is None else find_published(config, store)
    check_paths(config)
    dataset = read_data("plan", config, store=store)
    with _naming_skipped(dataset):
        assignment = divide(config, dataset)
    if published:
        check_same_data(published, dataset, assignment)
    with found_weights(config, store, stage="plan") as weights:
        check_given_peers(
            config,
            weights,
            image_shape_CHW=dataset.image_shape,
            class_names=dataset.class_names,
            stage="plan",
            remarks=dataset.remarks,
        )
        given_bytes = file_sizes(weights)
    sizes_P = np.array([len(part) for part in assignment.train])
    peers = _planned_peers(config, dataset, assignment)
    names = [peer.name for peer in peers]
    warned = [*division_warnings(config, dataset, assignment), *batch_warnings(config, sizes_P, peer_names=names)]
    lines = _data_lines(dataset, warned, shared_origins(config, dataset, assignment))
    return Prepared(lines, peers, measure_partition(dataset, assignment), given_bytes)


def prepare_study(config: PclConfig) -> PreparedStudy:
    """Read and split the data of a study of methods, and check it as the first stage of its run does.

    Raises:
        ValueError: If the data set does not fit the study.
        DataSourceError: If the data set is missing or damaged.
    """
    dataset = read_dataset("plan", config.data, seed=config.seed)
    with _naming_skipped(dataset):
        assignment, warned = split_data.divide_study(config, dataset)
    samples = measure_split(dataset, assignment)
    warned = [*warned, *split_data.batch_warnings(config, num_train=samples.training)]
    return PreparedStudy(_data_lines(dataset, warned), samples)


def _planned_peers(
    config: PeerExperimentConfig, dataset: ImageDataset | RawDataset, assignment: Assignment
) -> list[PlannedPeer]:
    names = dataset.class_names
    counts_PK = class_counts(np.asarray(dataset.labels_N), assignment.train, num_classes=len(names))
    return [
        PlannedPeer(name, {names[k]: int(counts_K[k]) for k in np.argsort(-counts_K, kind="stable") if counts_K[k]})
        for name, counts_K in zip(names_of_peers(config, dataset, assignment), counts_PK, strict=True)
    ]


@contextmanager
def _naming_skipped(dataset: ImageDataset | RawDataset) -> Iterator[None]:
    """Add the skipped entries of a data source to the message of an error about missing samples in the ``with`` block.

    A run prints the skipped entries before it divides the data set.
    """
    try:
        yield
    except MissingSamplesError as error:
        if not dataset.skipped:
            raise
        raise ValueError(f"{error} Skipped entries of {dataset.name}: {describe(dataset.skipped)}.") from error


def _data_lines(dataset: ImageDataset | RawDataset, warned: Sequence[str], remarks: Sequence[str] = ()) -> list[str]:
    """Return the lines that a run would print about its data set.

    Args:
        dataset: The data set.
        warned: Warnings, each a sentence.
        remarks: Remarks on the division of the data set.
    """
    return [*remark_lines(dataset), *remarks, *(f"warning: {sentence}" for sentence in warned)]
