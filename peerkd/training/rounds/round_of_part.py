"""A round of which this process trains only some peers, while other processes train the others.

A method is a function of a round. To share a round, every process calls this function, several times if need be. In the
first call, the first training trains only the peers of the process's own part. Its result is incomplete, and a method
that looks into it, for instance to average networks, is stopped there. As soon as all parts have been trained, their
results are known, and the next call repeats the method without any training up to the point where it was stopped. A
method that only passes an incomplete result on to another training, or returns it, is not stopped.

What a process repeats are predictions and averages, which cost little. It keeps predictions from call to call.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NoReturn

from torch import Tensor

from peerkd.losses.targets.target import Prediction
from peerkd.rounds.method import PeerWeights, RoundChoice, RoundRules, Samples, Teaching, Weights
from peerkd.training.rounds.round import TrainingRound


class OtherPartsNeededError(Exception):
    """Raised where a method needs networks that other parts are training."""


class IncompleteWeights(Mapping[int, Weights]):
    """The result of a training that lacks the peers of other parts. Any look at it stops the method.

    This includes a look at the peers of this process's own part, so that all parts stop at the same point.
    """

    def __init__(self, trained: PeerWeights) -> None:
        self.trained = trained
        """The networks that this process has trained."""

    def __getitem__(self, peer: int) -> NoReturn:
        raise OtherPartsNeededError

    def __iter__(self) -> Iterator[int]:
        raise OtherPartsNeededError

    def __len__(self) -> NoReturn:
        raise OtherPartsNeededError


class RoundOfPart:
    """One call of a method for one part, as ``peerkd.rounds.method.Round`` specifies it."""

    def __init__(
        self,
        round: TrainingRound,
        *,
        part: Sequence[int],
        done: Mapping[int, PeerWeights],
        predictions: list[Mapping[int, Prediction]],
    ) -> None:
        """Create the round of a call.

        Args:
            round: The round in which this process trains.
            part: The peers of this process.
            done: The complete results of the trainings that all parts have done, by number. Trainings are counted from
                0 in the order in which the method asks for them.
            predictions: The predictions of earlier calls for the same round, in the order in which the method asks for
                them. New predictions are appended.
        """
        self._round, self._part, self._done, self._kept = round, frozenset(part), done, predictions
        self._num_trainings = self._num_predictions = 0
        self.trained: dict[int, PeerWeights] = {}
        """What this process has trained in this call, by number of the training."""

    @property
    def rules(self) -> RoundRules:
        """The settings of the round."""
        return self._round.rules

    @property
    def partners(self) -> Mapping[int, Sequence[int]]:
        """The partners of each peer."""
        return self._round.partners

    @property
    def pairs(self) -> Sequence[tuple[int, int]]:
        """Random pairs of partners."""
        return self._round.pairs

    @property
    def groups(self) -> Mapping[int, Sequence[int]]:
        """Random groups of partners."""
        return self._round.groups

    @property
    def teachers(self) -> Mapping[int, int]:
        """A random partner of each peer."""
        return self._round.teachers

    @property
    def num_samples(self) -> Mapping[int, int]:
        """The number of training samples of each peer."""
        return self._round.num_samples

    @property
    def choices(self) -> Mapping[int, RoundChoice] | None:
        """The setting that each peer tries in this round."""
        return self._round.choices

    def record_shares(self, shares: Mapping[int, Mapping[int, float]]) -> None:
        """Record whose knowledge the round proposes to each peer."""
        self._round.record_shares(shares)

    def predict(self, weights: PeerWeights) -> Mapping[int, Prediction]:
        """Return the predictions of networks on the public set. All of these networks are needed."""
        if isinstance(weights, IncompleteWeights):
            raise OtherPartsNeededError
        if self._num_predictions == len(self._kept):
            self._kept.append(self._round.predict(weights))
        self._num_predictions += 1
        return self._kept[self._num_predictions - 1]

    def train(
        self,
        starts: PeerWeights,
        *,
        samples: Samples,
        teachings: Mapping[int, Teaching] | None = None,
        proximal_weight: float = 0.0,
    ) -> PeerWeights:
        """Train the networks of the peers of this part."""
        return self._each(
            starts,
            lambda mine: self._round.train(mine, samples=samples, teachings=teachings, proximal_weight=proximal_weight),
        )

    def train_if_better(
        self, starts: PeerWeights, teachings: Mapping[int, Teaching], *, reference_logits: Mapping[int, Tensor]
    ) -> PeerWeights:
        """Train the networks of the peers of this part, and keep those that gain."""
        return self._each(
            starts, lambda mine: self._round.train_if_better(mine, teachings, reference_logits=reference_logits)
        )

    def train_with_teachers(self, starts: PeerWeights, teachers: Mapping[int, tuple[int, Weights]]) -> PeerWeights:
        """Train the networks of the peers of this part on own samples with teachers."""
        return self._each(starts, lambda mine: self._round.train_with_teachers(mine, teachers))

    def train_mutually(self, received: PeerWeights, own: PeerWeights) -> PeerWeights:
        """Train the networks of the peers of this part together with received networks."""
        _need_all(received)
        return self._each(own, lambda mine: self._round.train_mutually(received, mine))

    def train_pooled(self, start: Weights) -> Weights:
        """Train the network of all peers, if the first peer is in this part."""
        first = min(self.num_samples)
        return self._whole(lambda: {first: self._round.train_pooled(start)} if first in self._part else {})[first]

    def train_in_groups(self, groups: Mapping[int, PeerWeights], *, distillation_weight: float) -> PeerWeights:
        """Train the networks of the groups whose aggregator is in this part."""
        _need_all(*groups.values())
        mine = {aggregator: starts for aggregator, starts in groups.items() if aggregator in self._part}
        trained = self._whole(lambda: self._round.train_in_groups(mine, distillation_weight=distillation_weight))
        return {peer: trained[peer] for starts in groups.values() for peer in starts}

    def _each(self, starts: PeerWeights, train: Callable[[PeerWeights], PeerWeights]) -> PeerWeights:
        """Return the result of a training in which each peer trains by itself."""
        number = self._next_training()
        if number in self._done:
            return {peer: self._done[number][peer] for peer in starts}
        known = starts.trained if isinstance(starts, IncompleteWeights) else starts
        trained = train({peer: weights for peer, weights in known.items() if peer in self._part})
        self.trained[number] = trained
        return IncompleteWeights(trained)

    def _whole(self, train: Callable[[], PeerWeights]) -> PeerWeights:
        """Return the result of a training in which one part may train the networks of peers of other parts."""
        number = self._next_training()
        if number in self._done:
            return self._done[number]
        self.trained[number] = train()
        raise OtherPartsNeededError

    def _next_training(self) -> int:
        self._num_trainings += 1
        return self._num_trainings - 1


def _need_all(*weights: PeerWeights) -> None:
    """Stop the method if a result is incomplete, so that all parts stop at the same point."""
    if any(isinstance(each, IncompleteWeights) for each in weights):
        raise OtherPartsNeededError
