"""The data of a sweep in one process: the transfer sets, the pre-trained peers, and the logits of the peers.

Everything is opened when it is first needed, and kept in memory up to a limit.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.seeds import derive_seed
from peerkd.study.transfer_sets import PUBLIC
from peerkd.study.trials import Unit
from peerkd.training.cache_sizes import NUM_NEIGHBOURS, num_kept_logits, num_kept_sets
from peerkd.training.checkpoints import copy_state, load_state_of
from peerkd.training.devices import placed, seeded
from peerkd.training.distill import TeacherLogits, teacher_logits
from peerkd.training.inputs import SweepInputs
from peerkd.training.joined_samples import JoinedSamples, TransferSamples
from peerkd.training.kept_results import kept_results
from peerkd.training.peers import build_peer, sample_set, weights_name
from peerkd.training.samples import SampleSet

_NUM_KEPT_PEERS: Final = 32
"""The maximum number of peers whose weights are kept in memory. The weights of further peers are read again when
needed."""


class SweepData:
    """Provides the transfer sets, the pre-trained peers and their logits for the trials of a sweep."""

    def __init__(self, inputs: SweepInputs, *, device: torch.device) -> None:
        self._inputs, self._config, self._device = inputs, inputs.config, device
        self._recipe = inputs.config.distill
        self.dataset = open_dataset(inputs.dataset_folder)
        self.assignment = Assignment.load(inputs.partition_folder)
        # One module for each network; its state is replaced for each trial.
        self.network = kept_results(self.build_network)
        self.peer_state = kept_results(self._load_peer_state, maxsize=_NUM_KEPT_PEERS)
        kept_sets = num_kept_sets(self.dataset, self.assignment, num_epochs=self._recipe.epochs)
        num_kept = NUM_NEIGHBOURS if inputs.states_folder is None else kept_sets
        self._sample_set = kept_results(self._read_transfer_set, maxsize=num_kept)
        kept_logits = num_kept_logits(self.dataset, self.assignment)
        self._kept_logits = kept_results(self._make_logits, maxsize=kept_logits)

    def transfer_set(self, unit: Unit) -> TransferSamples:
        """Return the samples of the transfer set of a unit."""
        samples = self._sample_set(unit.owners)
        return JoinedSamples(samples, self._sample_set(unit.unlabelled_owners)) if unit.unlabelled_owners else samples

    def logits(self, peer: int, unit: Unit, epochs: range) -> TeacherLogits:
        """Return the logits of a pre-trained peer on those samples of a unit that count in the divergence."""
        owners = unit.unlabelled_owners or unit.owners
        samples = self.transfer_set(unit)
        if isinstance(samples, JoinedSamples):
            of_passes = self._logits_of_set(peer, owners, samples.unlabelled_epochs(epochs))
            return {epoch: samples.in_batches(of_passes, epoch) for epoch in epochs}
        return self._logits_of_set(peer, owners, epochs)

    def peer(self, peer: int) -> nn.Module:
        """Return the network of a peer with the peer's pre-trained weights."""
        network = self.network(self._config.networks[peer])
        copy_state(self.peer_state(peer), network)
        return network

    def build_network(self, network: PeerNetwork) -> nn.Module:
        """Build a new module of a network, with arbitrary weights, on the device."""
        return placed(build_peer(network, self.dataset, seed=0), self._device)

    def _logits_of_set(self, peer: int, owners: tuple[int, ...], epochs: range) -> TeacherLogits:
        make = self._make_logits if self._inputs.states_folder is None else self._kept_logits
        if self._config.teachers_vary:
            return {epoch: make(peer, owners, epoch) for epoch in epochs}
        samples = self._sample_set(owners)
        logits_SK = samples.in_order(make(peer, owners, 0), 0)
        return {epoch: samples.in_batches(logits_SK, epoch) for epoch in epochs}

    def _make_logits(self, peer: int, owners: tuple[int, ...], epoch: int) -> Sequence[Tensor]:
        samples = self._sample_set(owners)
        with self._noise(self._config.networks[peer], "noise of teacher", samples, epoch):
            of_epoch = teacher_logits(
                self.peer(peer),
                samples,
                epochs=range(epoch, epoch + 1),
                mode=self._recipe.conventions.teacher_mode,
                precision=self._recipe.precision,
            )
        return of_epoch[epoch]

    def _noise(
        self, network: PeerNetwork, purpose: str, samples: TransferSamples, epoch: int
    ) -> AbstractContextManager[None]:
        """Return a context manager in which a network may draw the random numbers of an epoch.

        It seeds torch's generators with a seed that depends on the purpose, the samples and the epoch. The networks of
        peerkd draw no random numbers, and for these networks it does nothing.
        """
        if network.is_built_in:
            return nullcontext()
        return seeded(derive_seed(self._config.seed, purpose, samples.name, epoch), self._device)

    def _read_transfer_set(self, owners: tuple[int, ...]) -> SampleSet:
        names = ["public" if owner == PUBLIC else str(owner) for owner in owners or (PUBLIC,)]
        parts = [
            self.assignment.public if owner == PUBLIC else self.assignment.train[owner] for owner in owners or (PUBLIC,)
        ]
        return sample_set(
            self.dataset,
            np.concatenate(parts),
            name="distill " + "+".join(names),
            batch_size=self._recipe.batch_size,
            config=self._config,
            device=self._device,
        )

    def _load_peer_state(self, peer: int) -> Mapping[str, Tensor]:
        network = self.network(self._config.networks[peer])
        tensors = load_state_of(network, self._inputs.peers_folder / weights_name(peer))
        return {name: tensor.to(self._device) for name, tensor in tensors.items()}
