"""One round of one method, as ``peerkd.rounds.method.Round`` specifies it.

Shape suffixes: S = public samples, K = classes, G = networks.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate, chain, pairwise

import torch
from torch import Tensor

from peerkd.config.collaborate import CollaborateConfig, RoundsConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.losses.targets.target import Prediction
from peerkd.rounds.method import Imitation, PeerWeights, RoundChoice, RoundRules, Samples, Teaching, Weights
from peerkd.seeds import derive_seed, generator
from peerkd.study import topology
from peerkd.training.checkpoints import copy_state
from peerkd.training.devices import seeded
from peerkd.training.distill import TeacherLogits, teacher_logits
from peerkd.training.finite import are_finite
from peerkd.training.joined_samples import JoinedSamples
from peerkd.training.rounds.data import RoundsData
from peerkd.training.rounds.estimate import estimated_accuracies
from peerkd.training.rounds.lies import told
from peerkd.training.rounds.partners import edges_of_round
from peerkd.training.rounds.samples import LaterEpochs, OwnPart, RoundSamples
from peerkd.training.rounds.students import (
    MUTUAL_WEIGHT,
    on_public_set,
    predictions_of,
    train_mutually,
    train_students,
)
from peerkd.training.rounds.suggestions import Gain, Suggestion, choice, first_epoch, suggest
from peerkd.training.samples import SampleSet


class TrainingRound:
    """One round, in which this process trains the peers. All networks of the peers are in memory."""

    def __init__(
        self,
        config: CollaborateConfig,
        data: RoundsData,
        *,
        number: int,
        peers: Sequence[int],
        gains: Sequence[Gain] = (),
    ) -> None:
        """Find the partners and the settings of a round. Nothing is trained yet.

        Args:
            config: The experiment.
            data: The data of the rounds.
            number: The number of the round, counted from 1.
            peers: The peers that take part, ascending.
            gains: The gains of all peers in earlier rounds, if peers choose settings.
        """
        self._config, self._data, self.number = config, data, number
        edges = edges_of_round(config, number)
        self.partners: Mapping[int, Sequence[int]] = topology.partners(edges, peers)
        self.teachers = topology.random_teachers(self.partners, generator(config.seed, "teachers", number))
        self.pairs = topology.random_pairs(self.partners, generator(config.seed, "pairs", number))
        self.groups = topology.random_groups(self.partners, generator(config.seed, "groups", number))
        self.num_samples = {peer: len(data.assignment.train[peer]) for peer in peers}
        rounds = config.rounds
        self.rules = RoundRules(
            target=rounds.target.pair_target,
            prior_adjusted=rounds.target.prior_adjusted,
            is_aligned=rounds.distribution_alignment,
            trimmed_fraction=rounds.trimmed_fraction,
            sharpening_temperature=rounds.sharpening_temperature,
            temperature=rounds.temperature,
            distillation_weight=rounds.distillation_weight(number, alpha=rounds.alpha),
            pairwise_weight=rounds.distillation_weight(number, alpha=rounds.pairwise_alpha),
            term=rounds.term,
            proximal_weight=rounds.proximal_weight,
            reduction_temperature=rounds.reduction_temperature,
            confidence_threshold=rounds.confidence_threshold,
            mutual_weight=rounds.mutual_weight(number),
        )
        self.num_own_samples: Counter[int] = Counter()
        """The number of samples with labels in all batches on which the network of a peer has trained in this round, by
        peer. They are the peer's own samples, or those of the aggregator of its group."""
        self.num_public_samples: Counter[int] = Counter()
        """The number of public samples in all batches on which a peer has trained in this round, by peer."""

        self.choices: Mapping[int, RoundChoice] | None = None
        self._tried: Mapping[int, Suggestion] = {}
        if rounds.tune.enabled:
            self._tried = suggest(config, gains, peers=peers, number=number)
            self.choices = {peer: choice(config, each, number) for peer, each in self._tried.items()}
        self._first_epochs = {peer: first_epoch(config, gains, peer=peer, number=number) for peer in peers}
        self._gains: dict[int, float] = {}
        """The gain in estimated accuracy of each peer that has tried a setting."""

        self.shares: dict[int, Mapping[int, float]] = {}
        """The share of each peer in what a peer learns, for each peer that learns from others. Peers that learn alone
        are absent."""

    def record_shares(self, shares: Mapping[int, Mapping[int, float]]) -> None:
        """Record whose knowledge the round proposes to each peer, as ``Round.record_shares`` specifies."""
        self.shares |= shares

    @torch.no_grad()
    def predict(self, weights: PeerWeights) -> dict[int, Prediction]:
        """Return the predictions of some peers on the public set, in evaluation mode.

        A peer that lies sends other predictions than those of its network.
        """
        by_network = self._by_network(weights)
        functions = [
            function
            for network, peers in by_network.items()
            for function in predictions_of(self._data, network, [weights[peer] for peer in peers])
        ]
        parts_GSK = on_public_set(self._data, functions, precision=self._config.rounds.precision)
        order = [peer for peers in by_network.values() for peer in peers]
        predictions = {
            peer: self._sent(peer, Prediction(logits_SK, self._data.counts_PK[peer]))
            for peer, logits_SK in zip(order, chain.from_iterable(each.float() for each in parts_GSK), strict=True)
        }
        return {peer: predictions[peer] for peer in weights}

    def train(
        self,
        starts: PeerWeights,
        *,
        samples: Samples,
        teachings: Mapping[int, Teaching] | None = None,
        proximal_weight: float = 0.0,
    ) -> dict[int, Weights]:
        """Train the networks of some peers for the epochs of a round, as ``Round.train`` specifies."""
        trained: dict[int, Weights] = {}
        for network, peers in self._by_network(starts).items():
            # Peers see the same batches on the public set alone. Otherwise each has batches of its own.
            groups = [peers] if samples == "public" else [[peer] for peer in peers]
            for group in groups:
                of_group = self._data.samples(samples, group[0])
                taught = [teachings[peer] if teachings else None for peer in group]
                recipe = self._recipe(taught[0])
                first = self._first_epochs[group[0]]
                epochs = range(first, first + recipe.epochs)
                targets = [each and self._in_batches(each.target_logits_SK, of_group, epochs) for each in taught]
                batches = LaterEpochs(of_group, first)
                weights = train_students(
                    self._data,
                    network,
                    [starts[peer] for peer in group],
                    batches,
                    targets=targets,
                    imitations=[each and each.imitation for each in taught],
                    recipe=recipe,
                    proximal_weight=proximal_weight,
                    noise_seeds=[self._noise_seed(peer, samples) for peer in group],
                )
                trained |= zip(group, weights, strict=True)
                self._count(group, samples, batches)
        return {peer: trained[peer] for peer in starts}

    def train_if_better(
        self, starts: PeerWeights, teachings: Mapping[int, Teaching], *, reference_logits: Mapping[int, Tensor]
    ) -> dict[int, Weights]:
        """Train some peers, and return the better network of each, as ``Round.train_if_better`` specifies."""
        trained = self.train(starts, samples="own_and_public", teachings=teachings)
        estimates = estimated_accuracies(
            self._data,
            self._config.networks,
            {peer: [starts[peer], *([state] if are_finite(state.values()) else [])] for peer, state in trained.items()},
            reference_logits=reference_logits,
            precision=self._config.rounds.precision,
        )
        for peer, (before, *after) in estimates.items():
            self._gains[peer] = after[0] - before if after else -before
        return {peer: starts[peer] if self.is_declined(peer) else state for peer, state in trained.items()}

    def is_declined(self, peer: int) -> bool:
        """Return whether a peer has tried a setting and keeps its network, because its estimated accuracy fell."""
        return self._gains.get(peer, 0.0) < 0

    def columns(self, peer: int) -> dict[str, int | float]:
        """Return the columns of the table of rounds on the setting that a peer has tried; none if it has not."""
        if peer not in self._gains:
            return {}
        return {**self._tried[peer]._asdict(), "estimated_gain": self._gains[peer]}

    def train_mutually(self, received: PeerWeights, own: PeerWeights) -> dict[int, Weights]:
        """Train each peer's own network together with a network that the peer has received, on the peer's samples.

        ``Round.train_mutually`` specifies the training. Return the weights of each peer's own network.
        """
        trained: dict[int, Weights] = {}
        for peer, weights in own.items():
            starts = [weights, received[peer]]
            trained[peer], _ = self._train_together(peer, [peer, peer], starts, distillation_weight=MUTUAL_WEIGHT)
        return trained

    def train_in_groups(self, groups: Mapping[int, PeerWeights], *, distillation_weight: float) -> dict[int, Weights]:
        """Train the networks of each group together on the samples of its aggregator, as ``Round`` specifies."""
        trained: dict[int, Weights] = {}
        for aggregator, starts in groups.items():
            states = self._train_together(
                aggregator,
                list(starts),
                list(starts.values()),
                distillation_weight=distillation_weight,
                log_prior_K=self._data.counts_PK[aggregator].log(),
            )
            trained |= zip(starts, states, strict=True)
        return trained

    def train_with_teachers(
        self, starts: PeerWeights, teachers: Mapping[int, tuple[int, Weights]]
    ) -> dict[int, Weights]:
        """Train the networks of some peers on their own samples with teachers, as ``Round`` specifies."""
        trained: dict[int, Weights] = {}
        recipe, rules = self._config.rounds, self.rules
        for peer, start in starts.items():
            teacher, weights = teachers[peer]
            samples = self._data.samples("own", peer)
            network = self._data.network(self._config.networks[teacher])
            copy_state(weights, network)
            targets = teacher_logits(
                network,
                LaterEpochs(samples, self._first_epochs[peer]),
                epochs=range(recipe.epochs),
                mode=recipe.conventions.teacher_mode,
                precision=recipe.precision,
            )
            batches = LaterEpochs(samples, self._first_epochs[peer])
            (trained[peer],) = train_students(
                self._data,
                self._config.networks[peer],
                [start],
                batches,
                targets=[targets],
                imitations=[Imitation(rules.term, rules.temperature, rules.pairwise_weight)],
                recipe=recipe,
                noise_seeds=[self._noise_seed(peer, "own")],
            )
            self._count([peer], "own", batches)
        return trained

    def train_pooled(self, start: Weights) -> Weights:
        """Train one network on the own samples of all peers together, as ``Round.train_pooled`` specifies."""
        peers = sorted(self.num_samples)
        batches = LaterEpochs(self._data.pooled_samples(peers), self._first_epochs[peers[0]])
        (trained,) = train_students(
            self._data,
            self._config.networks[peers[0]],
            [start],
            batches,
            targets=[None],
            imitations=[None],
            recipe=self._config.rounds,
            noise_seeds=[self._noise_seed(peers[0], "own")],
        )
        # The samples of each peer are used as often as those of the others.
        bounds = [0, *accumulate(self.num_samples[peer] for peer in peers)]
        for peer, (first, last) in zip(peers, pairwise(bounds), strict=True):
            seen = [batches.num_labelled * place // bounds[-1] for place in (first, last)]
            self.num_own_samples[peer] += seen[1] - seen[0]
        return trained

    def _recipe(self, teaching: Teaching | None) -> RoundsConfig:
        """Return the recipe of a training, whose epochs and learning rate a setting may change."""
        rounds = self._config.rounds
        if teaching is None or teaching.epochs is None or teaching.learning_rate is None:
            return rounds
        return rounds.model_copy(update={"epochs": teaching.epochs, "learning_rate": teaching.learning_rate})

    def _in_batches(self, target_SK: Tensor, samples: RoundSamples, epochs: range) -> TeacherLogits:
        """Return the logits that a peer imitates, by epoch and batch of this round.

        Args:
            target_SK: The same logits, in the order of the public set.
            samples: The samples on which the peer trains, which must include the public set.
            epochs: The epochs of the samples.
        """
        match samples:
            case SampleSet():
                values = {epoch: samples.in_batches(target_SK, epoch) for epoch in epochs}
            case JoinedSamples():
                public = self._data.public()
                of_passes = {each: public.in_batches(target_SK, each) for each in samples.unlabelled_epochs(epochs)}
                values = {epoch: samples.in_batches(of_passes, epoch) for epoch in epochs}
            case OwnPart():
                raise ValueError("samples must include public samples if a peer imitates something, got own ones.")
        return {epoch - epochs.start: batches for epoch, batches in values.items()}

    def _sent(self, peer: int, prediction: Prediction) -> Prediction:
        """Return what a peer sends as its prediction, which may be a lie."""
        lie = self._config.rounds.lies(self.number).get(peer)
        if lie is None:
            return prediction
        return told(prediction, lie, rng=generator(self._config.seed, "lies", peer, self.number))

    def _train_together(
        self,
        host: int,
        peers: Sequence[int],
        starts: Sequence[Weights],
        *,
        distillation_weight: float,
        log_prior_K: Tensor | None = None,
    ) -> list[Weights]:
        """Train networks of some peers together on the own samples of one peer, the host."""
        batches = LaterEpochs(self._data.samples("own", host), self._first_epochs[host])
        with self._noise(host, peers):
            trained = train_mutually(
                self._data,
                [self._config.networks[peer] for peer in peers],
                starts,
                batches,
                recipe=self._config.rounds,
                distillation_weight=distillation_weight,
                log_prior_K=log_prior_K,
            )
        self._count(set(peers), "own", batches)
        return trained

    def _by_network(self, peers: Iterable[int]) -> Mapping[PeerNetwork, list[int]]:
        groups: defaultdict[PeerNetwork, list[int]] = defaultdict(list)
        for peer in peers:
            groups[self._config.networks[peer]].append(peer)
        return groups

    def _noise_seed(self, peer: int, samples: Samples) -> int:
        return derive_seed(self._config.seed, "noise of rounds", peer, self.number, samples)

    def _noise(self, host: int, peers: Iterable[int]) -> AbstractContextManager[None]:
        """Return a context manager in which networks of some peers may draw random numbers on the samples of one peer.

        It seeds torch's generators. The networks of peerkd draw no random numbers, and for them it does nothing.
        """
        if all(self._config.networks[peer].is_built_in for peer in peers):
            return nullcontext()
        return seeded(self._noise_seed(host, "own"), self._data.device)

    def _count(self, peers: Iterable[int], samples: Samples, batches: LaterEpochs) -> None:
        for peer in peers:
            if samples == "public":
                self.num_public_samples[peer] += batches.num_labelled
            else:
                self.num_own_samples[peer] += batches.num_labelled
                self.num_public_samples[peer] += batches.num_unlabelled
