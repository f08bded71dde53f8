"""The data of rounds in one process: samples of each peer, the public set, and networks.

Shape suffixes: P = peers, S = public samples, K = classes, B = batch, C = image channels, H W = image size.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from peerkd.arrays import IntArray
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.data.augment import normalize
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.models.memory_format import laid_out
from peerkd.rounds.method import Samples, Weights
from peerkd.training.checkpoints import load_state_of
from peerkd.training.devices import kind_of, placed
from peerkd.training.evaluate import Evaluator
from peerkd.training.joined_samples import JoinedSamples
from peerkd.training.kept_results import kept_results
from peerkd.training.pair_targets import class_counts
from peerkd.training.peers import build_peer, sample_set, weights_name
from peerkd.training.rounds.samples import OwnPart, RepeatedPasses, RoundSamples
from peerkd.training.samples import SampleSet
from peerkd.training.stacked.students import should_stack

_BATCH_SIZE: Final = 500

_CACHE_BYTES: Final = 2**30
"""The maximum size of the augmented images that are kept in memory, for all sets and all methods together."""

_NUM_KEPT_SETS: Final = 128
"""The number of peers whose samples are kept in memory. The samples of any other peer are read again when needed."""


class RoundsData:
    """The data set, its partition among the peers, and modules for the networks of the peers, in one process."""

    def __init__(
        self, config: CollaborateConfig, *, dataset_folder: Path, partition_folder: Path, device: torch.device
    ) -> None:
        """Open the data. Samples are read, and networks are built, when they are first needed."""
        self._config, self.device = config, device
        self.dataset = open_dataset(dataset_folder)
        self.assignment = Assignment.load(partition_folder)
        self.evaluator = Evaluator(self.dataset, self.assignment, device=device, precision=config.rounds.precision)
        self.counts_PK = class_counts(self.dataset, self.assignment, device=device)
        # One module for each network; its state is replaced for each training.
        self.network = kept_results(self._build_network)
        self._own = kept_results(self._read_own, maxsize=_NUM_KEPT_SETS)
        self.public = kept_results(self._read_public)
        self._pooled = kept_results(self._read_pooled, maxsize=1)

    @property
    def num_public(self) -> int:
        """The number of public samples."""
        return len(self.assignment.public)

    def samples(self, kind: Samples, peer: int) -> RoundSamples:
        """Return the samples on which a peer trains in a round.

        If there is a public set, the peer's own samples have the same batches whether or not public samples are added
        to them.

        Args:
            kind: The samples: those of the peer, the public ones, or both.
            peer: The peer.
        """
        if kind == "public":
            return self.public()
        own = self._own(peer)
        if not self.num_public:
            return own
        joined = JoinedSamples(own, self.public())
        return joined if kind == "own_and_public" else OwnPart(joined)

    def pooled_samples(self, peers: Sequence[int]) -> RepeatedPasses:
        """Return the own samples of several peers as one set.

        An epoch has as many batches as an epoch of each of these peers on its own samples, all together.
        """
        num_batches = sum(self.samples("own", peer).num_batches for peer in peers)
        return RepeatedPasses(self._pooled(tuple(peers)), num_batches)

    def public_images(self) -> Iterator[Tensor]:
        """Yield the public images in the order of the set: batches of shape BCHW, normalised, without augmentation."""
        mean_C = torch.tensor(self.dataset.channel_mean, device=self.device)
        std_C = torch.tensor(self.dataset.channel_std, device=self.device)
        for first in range(0, self.num_public, _BATCH_SIZE):
            pixels = self.dataset.read_images(self.assignment.public[first : first + _BATCH_SIZE])
            images_BCHW = normalize(torch.from_numpy(pixels).to(self.device), mean_C=mean_C, std_C=std_C)
            yield laid_out(images_BCHW)

    def is_stacked(self, network: PeerNetwork) -> bool:
        """Return whether peers that have this network train and predict side by side."""
        if kind_of(self.device).engine != "side_by_side" or self._config.rounds.precision != "float32":
            return False
        return network.is_plain and should_stack(network.name, image_shape_CHW=self.dataset.image_shape)

    def load_weights(self, folder: Path, peers: Sequence[int]) -> dict[int, Weights]:
        """Read the weights of the pre-trained peers onto the device."""
        weights: dict[int, Weights] = {}
        for peer in peers:
            tensors = load_state_of(self.network(self._config.networks[peer]), folder / weights_name(peer))
            weights[peer] = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        return weights

    def _build_network(self, network: PeerNetwork) -> nn.Module:
        return placed(build_peer(network, self.dataset, seed=0), self.device)

    def _read_own(self, peer: int) -> SampleSet:
        return self._sample_set(self.assignment.train[peer], name=f"rounds {peer}")

    def _read_public(self) -> SampleSet:
        return self._sample_set(self.assignment.public, name="rounds public")

    def _read_pooled(self, peers: tuple[int, ...]) -> SampleSet:
        return self._sample_set(np.concatenate([self.assignment.train[peer] for peer in peers]), name="rounds pooled")

    def _sample_set(self, indices_N: IntArray, *, name: str) -> SampleSet:
        return sample_set(
            self.dataset,
            indices_N,
            name=name,
            batch_size=self._config.rounds.batch_size,
            config=self._config,
            device=self.device,
            # Besides the sets of the peers, there are the public and the pooled set.
            cache_bytes=_CACHE_BYTES // (2 + self.assignment.num_peers),
        )
