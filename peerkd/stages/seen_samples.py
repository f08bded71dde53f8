"""Warnings about evaluation samples on which a peer may have been trained, so that its accuracy would be too high."""

from collections.abc import Iterator

import numpy as np

from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.repeated import content_numbers
from peerkd.data.sources.joined import OWNER_COLUMN
from peerkd.data.wording import listed
from peerkd.wording import plural


def seen_warnings(
    config: PeerExperimentConfig, dataset: ImageDataset | RawDataset, assignment: Assignment
) -> Iterator[str]:
    """Yield sentences about evaluation samples on which a peer may have been trained.

    One sentence is about weights that the user provides, if evaluation samples are held out from data on which they may
    have been trained. The other sentence is about images that are in a training set as well as in an evaluation set; it
    requires that each peer has a data set of its own.
    """
    yield from _trained_elsewhere(config, dataset)
    if config.has_peer_data:
        yield from _repeated_images(config, dataset, assignment)


def _trained_elsewhere(config: PeerExperimentConfig, dataset: ImageDataset | RawDataset) -> Iterator[str]:
    """Yield a sentence about provided weights of peers whose data lack a validation or a test split.

    The evaluation samples are then held out from the training split, on which the weights may have been trained.
    """
    if config.peers.from_ is not None:
        # These peers were trained on the training samples of this very partition.
        return
    first_test = dataset.num_train + dataset.num_validation
    owners_N = np.asarray(dataset.columns[OWNER_COLUMN]) if config.has_peer_data else None
    peers = []
    for peer, given in enumerate(config.peers.given):
        own = np.arange(len(dataset.labels_N)) if owners_N is None else np.flatnonzero(owners_N == peer)
        lacks = [
            split
            for split, has in (
                ("validation", ((own >= dataset.num_train) & (own < first_test)).any()),
                ("test", (own >= first_test).any()),
            )
            if not has
        ]
        if given.weights is not None and lacks:
            peers.append(f"{config.describe_peer(peer)}, whose data have no {' and no '.join(lacks)} split")
    if peers:
        yield (
            "Weights from elsewhere may have been trained on samples that are held out here for evaluation, so their "
            "accuracy before the distillation may be too high, and gains too low: "
            f"{listed(peers, separator='; ')}."
        )


def _repeated_images(
    config: PeerExperimentConfig, dataset: ImageDataset | RawDataset, assignment: Assignment
) -> Iterator[str]:
    """Yield a sentence if images on which a network is trained are also images of an evaluation set."""
    owns = zip(assignment.own_validation, assignment.own_test, strict=True)
    evaluated = {config.describe_peer(peer): np.concatenate(parts) for peer, parts in enumerate(owns)}
    trained = {config.describe_peer(peer): train for peer, train in enumerate(assignment.train)}
    if config.has_public_set:
        trained["the public set"] = assignment.public
        evaluated["the common data set"] = np.concatenate([assignment.validation, assignment.test])
    indices_N = np.arange(len(dataset.labels_N))
    numbers_N = content_numbers(dataset.read_images, indices_N, image_shape_CHW=dataset.image_shape)
    repeated = []
    for learner, samples in trained.items():
        for owner, others in evaluated.items():
            num = int(np.count_nonzero(np.isin(numbers_N[samples], numbers_N[others])))
            if num:
                repeated.append(f"{plural(num, 'image')} of {learner} in those of {owner}")
    if repeated:
        yield f"Some training images are also in evaluation sets, so accuracies may be too high: {listed(repeated)}."
