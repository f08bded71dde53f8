"""What a plan knows before a run: whether the run would be refused, and the sizes from which its work follows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from peerkd.artifacts.store import ArtifactStore
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.stages.dataset import reading_remarks
from peerkd.stages.division import batch_warnings, divide, division_warnings
from peerkd.stages.given_check import check_given_peers
from peerkd.stages.given_weights import file_sizes, found_weights
from peerkd.stages.peer_data import read_data
from peerkd.stages.published_peers import check_same_data, find_published
from peerkd.training.forecast import PartitionSizes, measure_partition


class Prepared(NamedTuple):
    """An experiment that a run would accept."""

    data_lines: list[str]
    """The lines that a run would print about its data, and an empty line if there are any."""

    samples: PartitionSizes
    given_bytes: list[int | None]
    """The size of the file with the weights that the user gives for each peer; None for a peer without such a file."""


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
    dataset = read_data("plan", config, store=store)
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
        )
        given_bytes = file_sizes(weights)
    sizes_P = np.array([len(part) for part in assignment.train])
    warned = [*division_warnings(config, dataset, assignment), *batch_warnings(config, sizes_P)]
    return Prepared(data_lines(dataset, warned), measure_partition(dataset, assignment), given_bytes)


def data_lines(dataset: ImageDataset | RawDataset, warned: Sequence[str]) -> list[str]:
    """Return the lines that a run would print about its data set, and an empty line if there are any.

    Args:
        dataset: The data set.
        warned: Warnings, each a sentence.
    """
    lines = [f"{dataset.name}: {remark}" for remark in reading_remarks(dataset.remarks, dataset.skipped)]
    lines += [f"warning: {sentence}" for sentence in warned]
    return [*lines, ""] if lines else []
