"""Features of pairs for a tuner, computed from the logits of every pre-trained peer on samples of every peer.

The networks and their logits need not all fit into memory: samples are processed in blocks, and each block passes
through one network after another. The test split is never read.

Shape suffixes: P = peers, N = samples of one part, B = batch, K = classes, C = image channels, H W = image size.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from peerkd.arrays import SingleArray
from peerkd.config.given_peers import PeerNetwork
from peerkd.data.augment import normalize
from peerkd.data.dataset import ImageDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.models.memory_format import laid_out
from peerkd.results.answers import Answers
from peerkd.results.features import pair_features, write_features
from peerkd.training.checkpoints import copy_state, load_state_of
from peerkd.training.devices import autocast, placed, process_device
from peerkd.training.finite import are_finite, check_peer_logits
from peerkd.training.inputs import SweepInputs
from peerkd.training.kept_results import kept_results
from peerkd.training.peers import build_peer, known_classes, weights_name
from peerkd.training.process_pool import TaskFunction

MAX_SAMPLES: Final = 256
"""The maximum number of training samples of each peer that are used, and of validation samples in one part."""

_BLOCK_BYTES: Final = 2**28
"""The maximum size of the pixels and the logits of one block of samples."""

_UNKNOWN_CLASS_MARGIN: Final = 10.0
"""A class that a network does not know gets the network's lowest logit minus this number as its logit."""

_Indices = npt.NDArray[np.int64]


def start(inputs: SweepInputs, *, process_index: int) -> TaskFunction:
    """Return a function that writes the table of features of all pairs to a path, computed on the device of a process.

    The function is a generator. When the table is written, it yields the number of forward passes, which is the number
    of samples times the number of networks.
    """
    device = process_device(inputs.device, process_index=process_index)

    def perform(path: Path) -> Iterator[int]:
        dataset, assignment = open_dataset(inputs.dataset_folder), Assignment.load(inputs.partition_folder)
        validation, training = validation_parts(assignment), training_parts(assignment, inputs.peers)
        parts = [*validation, *training]
        pairs, asked = _pairs_and_asked(inputs)
        wanted: list[_Indices | None] = [*([None] * len(validation)), *asked]
        answers = _PeerNetworks(inputs, dataset, device=device).answers(parts, wanted)
        counts_PK = np.stack(
            [
                np.bincount(dataset.labels_N[assignment.train[peer]], minlength=dataset.num_classes)
                for peer in inputs.peers
            ]
        )
        features = pair_features(
            islice(answers, len(validation)), answers, label_counts_PK=counts_PK, peers=inputs.peers, pairs=pairs
        )
        write_features(features, path)
        yield sum(
            len(part) * len(inputs.peers if places is None else places)
            for part, places in zip(parts, wanted, strict=True)
        )

    return perform


def _pairs_and_asked(inputs: SweepInputs) -> tuple[tuple[_Indices, _Indices], list[_Indices]]:
    """Return the pairs, and the peers that predict the samples of each peer.

    The samples of a peer are predicted by the peer itself and by its partners. All results are positions in
    ``inputs.peers``.
    """
    pairs, peers_P = inputs.config.pairs(inputs.peers), np.asarray(inputs.peers)
    students, teachers = (np.searchsorted(peers_P, each) for each in pairs.as_arrays())
    asked = [np.searchsorted(peers_P, sorted([peer, *pairs.partners(peer)])) for peer in inputs.peers]
    return (students, teachers), asked


def validation_parts(assignment: Assignment) -> list[_Indices]:
    """Return the global validation samples in parts of at most ``MAX_SAMPLES``."""
    return np.array_split(assignment.validation, max(math.ceil(len(assignment.validation) / MAX_SAMPLES), 1))


def training_parts(assignment: Assignment, peers: Sequence[int]) -> list[_Indices]:
    """Return up to ``MAX_SAMPLES`` training samples of each of the given peers, evenly spaced."""
    return [_evenly_spaced(assignment.train[peer]) for peer in peers]


class _PeerNetworks:
    """The pre-trained networks of the peers that take part. Peers with the same network share one module in memory."""

    def __init__(self, inputs: SweepInputs, dataset: ImageDataset, *, device: torch.device) -> None:
        self._inputs, self._dataset, self._device = inputs, dataset, device
        self._network = kept_results(self._build_network)
        self._mean_C = torch.tensor(dataset.channel_mean, device=device)
        self._std_C = torch.tensor(dataset.channel_std, device=device)

    def answers(self, parts: Sequence[_Indices], wanted: Sequence[_Indices | None]) -> Iterator[Answers]:
        """Yield logits on the samples of each part, without augmentation.

        Args:
            parts: The samples of each part.
            wanted: For each part, the peers that predict its samples, as ascending positions among the peers that take
                part. None: all these peers.
        """
        peers, left = self._inputs.peers, iter(wanted)
        bytes_of_sample = math.prod(self._dataset.image_shape) + 4 * len(peers) * self._dataset.num_classes
        for block in blocks(parts, max_samples=max(_BLOCK_BYTES // bytes_of_sample, 1)):
            images = torch.from_numpy(self._dataset.read_images(np.concatenate(block))).to(self._device)
            images_of = images.split([len(part) for part in block])
            asked = [np.arange(len(peers)) if each is None else each for each in islice(left, len(block))]
            logits_of: list[list[SingleArray]] = [[] for _ in block]
            for place in np.unique(np.concatenate(asked)).tolist():
                numbers = [number for number, places in enumerate(asked) if place in places]
                # A copy of all images would double the memory.
                some = images if len(numbers) == len(block) else torch.cat([images_of[number] for number in numbers])
                bounds = np.cumsum([len(block[number]) for number in numbers])[:-1]
                for number, part_NK in zip(numbers, np.split(self._logits(peers[place], some), bounds), strict=True):
                    logits_of[number].append(part_NK)
            for part, places, logits in zip(block, asked, logits_of, strict=True):
                yield Answers(np.stack(logits), self._dataset.labels_N[part], places)

    @torch.inference_mode()
    def _logits(self, peer: int, images_NCHW: Tensor) -> SingleArray:
        network = self._network(self._inputs.config.networks[peer])
        copy_state(load_state_of(network, self._inputs.peers_folder / weights_name(peer)), network)
        logits: list[Tensor] = []
        for images_BCHW in images_NCHW.split(MAX_SAMPLES):
            normal_BCHW = normalize(images_BCHW, mean_C=self._mean_C, std_C=self._std_C)
            with autocast(self._device, self._inputs.config.distill.precision):
                logits.append(network(laid_out(normal_BCHW)).float())
        all_logits = torch.cat(logits)
        check_peer_logits(peer, is_finite=are_finite([all_logits]))
        known_K = known_classes(self._inputs.config.networks[peer], self._dataset, device=self._device)
        if known_K is not None:
            # Divergences would be as large as the logit of a class that a network does not know.
            floor_N1 = all_logits[:, known_K].amin(dim=1, keepdim=True) - _UNKNOWN_CLASS_MARGIN
            all_logits = all_logits.where(known_K, floor_N1)
        return all_logits.cpu().numpy()

    def _build_network(self, network: PeerNetwork) -> nn.Module:
        return placed(build_peer(network, self._dataset, seed=0), self._device).eval()


def blocks(parts: Sequence[_Indices], *, max_samples: int) -> Iterator[list[_Indices]]:
    """Group parts into blocks, in order, and yield each block.

    A block has as many parts as fit into ``max_samples`` samples, but at least one.
    """
    block: list[_Indices] = []
    for part in parts:
        if block and sum(map(len, block)) + len(part) > max_samples:
            yield block
            block = []
        block.append(part)
    if block:
        yield block


def _evenly_spaced(indices: _Indices) -> _Indices:
    num = min(len(indices), MAX_SAMPLES)
    return indices[np.arange(num) * len(indices) // num]
