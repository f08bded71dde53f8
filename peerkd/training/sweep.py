"""Training and evaluation of the units of a sweep.

Batches and teacher logits are computed once for all trials of a unit, and many tiny students train side by side. The
record of a trial depends neither on the other trials nor on how many were trained together.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, lru_cache, partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.results.schema import BY_EPOCH_COLUMNS, IS_FINITE
from peerkd.seeds import derive_seed
from peerkd.study.transfer_sets import PUBLIC, TRANSFER_SETS
from peerkd.study.trials import Trial, Unit
from peerkd.training.cache_sizes import NUM_NEIGHBOURS, num_kept_logits, num_kept_sets
from peerkd.training.checkpoints import copy_state, load_state_of
from peerkd.training.devices import process_device, seeded
from peerkd.training.distill import TeacherLogits, teacher_logits
from peerkd.training.evaluate import Evaluator, Predictions
from peerkd.training.finite import all_answered, check_peer_logits
from peerkd.training.group_size import GroupSizes
from peerkd.training.inputs import EngineChoice, EpochRange, JointEpochRanges, SweepInputs, epoch_ranges
from peerkd.training.joined_samples import JoinedSamples, TransferSamples
from peerkd.training.pair_targets import PairTargets, class_counts
from peerkd.training.peers import build_peer, known_classes, sample_set, weights_name
from peerkd.training.process_pool import TaskFunction
from peerkd.training.samples import FirstBatches, SampleSet
from peerkd.training.stacked.losses import FAST_GRADIENTS
from peerkd.training.stacked.students import Students, should_stack
from peerkd.training.student_groups import SingleStudent, StackedGroup, StudentGroup
from peerkd.training.trial_state import TrialState, check_state, load_state, save_state, state_path

if TYPE_CHECKING:
    from peerkd.training.captured.lane_pool import LanePool

_NUM_KEPT_PEERS: Final = 32
"""The number of peers whose weights are kept in memory. The weights of other peers are read again when needed."""

_NUM_MEASURED_BATCHES: Final = 2

_ByEpoch: TypeAlias = Mapping[str, list[float | None] | None]
"""Accuracies by column and epoch. An accuracy is None after an epoch in which the network was not finite; a column is
None if it was not measured.
"""

_ADAPTED: Final = "one student at a time, because only plain networks train together"
_ONE_BY_ONE: Final = "one student at a time, because the network is from another package"


class SweepRunner:
    """The pre-trained peers, their transfer sets and their evaluation, opened once in a process."""

    def __init__(self, inputs: SweepInputs, *, device: torch.device) -> None:
        self._inputs, self._config, self._device = inputs, inputs.config, device
        self._recipe = inputs.config.distill
        self._dataset = open_dataset(inputs.dataset_folder)
        self._assignment = Assignment.load(inputs.partition_folder)
        self._evaluator = Evaluator(self._dataset, self._assignment, device=device, precision=self._recipe.precision)
        self._float32_evaluator = (
            self._evaluator
            if self._recipe.precision == "float32"
            else Evaluator(self._dataset, self._assignment, device=device)
        )
        self._counts_PK = class_counts(self._dataset, self._assignment, device=device)
        self._group_sizes = GroupSizes()
        self._lane_pool = self._open_lane_pool() if device.type == "cuda" else None
        self._choices = self._engine_choices()
        # One module for each network; its state is replaced for each trial.
        self._network = cache(self._build_network)
        self._peer_state = lru_cache(maxsize=_NUM_KEPT_PEERS)(self._load_peer_state)
        self._before = cache(self._predict_before)
        kept_sets = num_kept_sets(self._dataset, self._assignment, num_epochs=self._recipe.epochs)
        num_kept = NUM_NEIGHBOURS if inputs.states_folder is None else kept_sets
        self._sample_set = lru_cache(maxsize=num_kept)(self._read_transfer_set)
        kept_logits = num_kept_logits(self._dataset, self._assignment)
        self._kept_logits = lru_cache(maxsize=kept_logits)(self._make_logits)

    def do(self, task: Unit | EpochRange | JointEpochRanges) -> Iterator[dict[str, Any] | EngineChoice]:
        """Train and evaluate every trial of a unit, or an epoch range of each, and yield each trial's record.

        Raises:
            ValueError: If a trial has not reached the first epoch of its range, or joint ranges differ in transfer set
                or epochs.
        """
        ranges = epoch_ranges(task, num_epochs=self._recipe.epochs)
        unit = ranges[0].unit
        samples = self._transfer_set(unit)
        epochs = range(ranges[0].first_epoch, ranges[0].last_epoch)
        requested = [(trial, each.unit.teacher) for each in ranges for trial in each.unit.trials]
        if len(ranges) > 1:
            # Students of one network become neighbours. Among them the order by teacher is kept.
            requested.sort(key=lambda each: self._config.networks[each[0].student])
        targets = PairTargets(
            lambda peer: self._logits(peer, unit, epochs),
            counts_PK=self._counts_PK,
            target_of=lambda _: self._recipe.target,
        )
        for network, alike in groupby(requested, key=lambda each: self._config.networks[each[0].student]):
            these = list(alike)
            size = self._group_size(network, samples, num_trials=len(these))
            yield from (*self._choices, *(self._lane_pool or self._group_sizes).take_choices())
            self._choices = ()
            for start in range(0, len(these), size):
                group = these[start : start + size]
                yield from self._do_group([trial for trial, _ in group], samples, targets.of_group(group), epochs)

    def run_teacher(self, unit: Unit) -> TeacherLogits | None:
        """Return a teacher's logits on a unit's transfer set. ``peerkd plan`` measures the time of this part."""
        return None if unit.teacher is None else self._logits(unit.teacher, unit, range(self._recipe.epochs))

    def accuracies(self, peer: int, weights: Mapping[str, Tensor]) -> dict[str, float | None]:
        """Return the accuracies of a plain network in float32, on the evaluation samples of a peer.

        They are those that a user measures after loading the weights from a file, whatever engine and precision a trial
        has; see ``Evaluator.accuracies``.
        """
        network = self._network(self._config.networks[peer])
        copy_state(weights, network)
        return self._float32_evaluator.accuracies(self._float32_evaluator.predict(network, peer=peer), peer=peer)

    def peer_state(self, peer: int) -> Mapping[str, Tensor]:
        """Return the weights of a pre-trained peer."""
        return self._peer_state(peer)

    def _logits(self, peer: int, unit: Unit, epochs: range) -> TeacherLogits:
        """Return a pre-trained peer's logits on the samples of the divergence of a unit's transfer set."""
        owners = unit.unlabelled_owners or unit.owners
        samples = self._transfer_set(unit)
        if isinstance(samples, JoinedSamples):
            of_passes = self._logits_of_set(peer, owners, samples.unlabelled_epochs(epochs))
            return {epoch: samples.in_batches(of_passes, epoch) for epoch in epochs}
        return self._logits_of_set(peer, owners, epochs)

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
                self._peer(peer),
                samples,
                epochs=range(epoch, epoch + 1),
                mode=self._recipe.conventions.teacher_mode,
                precision=self._recipe.precision,
            )
        return of_epoch[epoch]

    def _noise(
        self, network: PeerNetwork, purpose: str, samples: TransferSamples, epoch: int
    ) -> AbstractContextManager[None]:
        """Return a context in which a network of another package draws the random numbers of an epoch."""
        if network.is_built_in:
            return nullcontext()
        return seeded(derive_seed(self._config.seed, purpose, samples.name, epoch), self._device)

    def _do_group(
        self, trials: Sequence[Trial], samples: TransferSamples, logits: Sequence[TeacherLogits | None], epochs: range
    ) -> Iterator[dict[str, Any]]:
        started = time.perf_counter()
        before = [self._before(trial.student) for trial in trials]
        students = self._student_group(trials, samples, epochs)
        by_epoch, after = self._train(students, samples, logits, trials=trials, epochs=epochs)
        ended_finite = [
            is_finite and all_answered(predictions)
            for is_finite, predictions in zip(students.are_finite(), after, strict=True)
        ]
        if self._inputs.states_folder:
            for trial, end, is_finite in zip(trials, students.states(), ended_finite, strict=True):
                # No later epoch range starts from a state that is not finite.
                if is_finite:
                    save_state(state_path(self._inputs.states_folder, trial, num_epochs=epochs.stop), end)
        seconds = (time.perf_counter() - started) / len(trials)
        for trial, peer_before, peer_after, measured, is_finite in zip(
            trials, before, after, by_epoch, ended_finite, strict=True
        ):
            yield {
                **trial.to_record(),
                "seed": self._config.seed,
                "num_transfer_samples": len(samples),
                "epochs": epochs.stop,
                IS_FINITE: is_finite,
                **self._evaluator.compare(peer_before, peer_after if is_finite else None, peer=trial.student),
                **(measured if is_finite else _without_last(measured)),
                "seconds": seconds,
            }

    def _train(
        self,
        students: StudentGroup,
        samples: TransferSamples,
        logits: Sequence[TeacherLogits | None],
        *,
        trials: Sequence[Trial],
        epochs: range,
    ) -> tuple[Sequence[_ByEpoch], list[Predictions]]:
        """Return the accuracies of each trial after each epoch, if they are requested, and the final predictions."""
        if not self._config.sweep.validate_every_epoch:
            students.train(samples, logits, epochs=epochs)
            return [dict.fromkeys(BY_EPOCH_COLUMNS.values()) for _ in trials], students.predict(self._evaluator)
        measured: list[dict[str, list[float | None]]] = [
            {name: [] for name in BY_EPOCH_COLUMNS.values()} for _ in trials
        ]
        for epoch in epochs:
            students.train(samples, logits, epochs=range(epoch, epoch + 1))
            # The predictions after the last epoch are those of the trial.
            predictions = students.predict(self._evaluator)
            for trial, lists, predicted in zip(trials, measured, predictions, strict=True):
                accuracies = self._evaluator.accuracies(predicted, peer=trial.student)
                for (split, scope), name in BY_EPOCH_COLUMNS.items():
                    lists[name].append(accuracies[f"{split}_{scope}_accuracy"])
        return measured, predictions

    def _student_group(self, trials: Sequence[Trial], samples: TransferSamples, epochs: range) -> StudentGroup:
        starts = [self._start(trial, epochs) for trial in trials]
        network = self._config.networks[trials[0].student]
        if self._is_stacked(network):
            return StackedGroup(self._stack(network, starts), trials, recipe=self._recipe)
        if self._lane_pool and self._num_lanes(self._lane_pool, network, samples):
            return self._lane_pool.students(network.name, trials, starts)
        (trial,), (start,) = trials, starts
        return SingleStudent(
            self._network(network),
            trial,
            start,
            recipe=self._recipe,
            # All settings share their random numbers, as they share the order of the batches.
            noise_seed=None if network.is_built_in else partial(derive_seed, self._config.seed, "noise", samples.name),
            known_K=known_classes(network, self._dataset, device=self._device),
        )

    def _start(self, trial: Trial, epochs: range) -> TrialState:
        if epochs.start == 0:
            return TrialState(self._peer_state(trial.student), {})
        if self._inputs.states_folder is None:
            raise ValueError(
                "states_folder must be set for trials that continue from an earlier epoch range, got none."
            )
        path = state_path(self._inputs.states_folder, trial, num_epochs=epochs.start)
        state = load_state(path)
        check_state(state, self._network(self._config.networks[trial.student]), source=str(path))
        return state

    def _is_stacked(self, network: PeerNetwork) -> bool:
        if self._lane_pool or self._recipe.precision != "float32":
            return False
        return network.is_plain and should_stack(network.name, image_shape_CHW=self._dataset.image_shape)

    @staticmethod
    def _num_lanes(pool: "LanePool", network: PeerNetwork, samples: TransferSamples) -> int:
        """Return how many students of a network to train at once in captured steps; 0 if its steps are not captured.

        A network of another package may do anything in a step, such as draw random numbers or read a value. The
        captured steps have no masks for classes that a student does not know.
        """
        return pool.number(network.name, samples) if network.is_plain else 0

    def _engine_choices(self) -> tuple[EngineChoice, ...]:
        """Return a line for the log for each reason why a fast engine is not used."""
        others = {network.name: _ONE_BY_ONE for network in self._config.networks if not network.is_built_in}
        adapted = {
            f"{network.name} with an adapter": _ADAPTED
            for network in self._config.networks
            if network.is_built_in and not network.is_plain
        }
        return (
            *self._loss_choice(),
            *(EngineChoice(name, f"{name}: {reason}") for name, reason in (others | adapted).items()),
        )

    def _loss_choice(self) -> tuple[EngineChoice, ...]:
        """Return a line for the log if students side by side have no fast path for the loss."""
        loss = self._recipe.loss.kind
        if loss in FAST_GRADIENTS or not any(map(self._is_stacked, self._config.networks)):
            return ()
        text = f"{loss}: students side by side use autograd, because no gradient is written by hand for this loss"
        return (EngineChoice(f"loss {loss}", text),)

    def _group_size(self, network: PeerNetwork, samples: TransferSamples, *, num_trials: int) -> int:
        """Return how many students to train together, measured when the first large group is requested."""
        if self._lane_pool:
            return max(self._num_lanes(self._lane_pool, network, samples), 1)
        if not self._is_stacked(network):
            return 1

        def train(num_students: int) -> None:
            start = TrialState(self._network(network).state_dict(), {})
            self._stack(network, [start] * num_students).train(
                FirstBatches(samples, _NUM_MEASURED_BATCHES),
                teacher_logits=[None] * num_students,
                distillation_weights=[0.0] * num_students,
                temperatures=[None] * num_students,
                recipe=self._recipe,
                epochs=range(1),
            )

        return self._group_sizes.best(network.name, train, num_students=num_trials)

    def _open_lane_pool(self) -> "LanePool":
        # Only a GPU needs this module.
        from peerkd.training.captured.lane_pool import LanePool

        has_split = any(TRANSFER_SETS[name].is_split for name in self._config.sweep.transfer_sets)
        return LanePool(
            lambda name: self._build_network(PeerNetwork(name)),
            num_architectures=len({network.name for network in self._config.networks if network.is_plain}),
            image_shape_CHW=self._dataset.image_shape,
            num_classes=self._dataset.num_classes,
            recipe=self._recipe,
            device=self._device,
            max_batch_samples=self._recipe.batch_size * (2 if has_split else 1),
        )

    def _stack(self, network: PeerNetwork, starts: Sequence[TrialState]) -> Students:
        return Students(
            network.name,
            [start.weights for start in starts],
            momenta=[start.momenta for start in starts],
            image_shape_CHW=self._dataset.image_shape,
            num_classes=self._dataset.num_classes,
        )

    def _transfer_set(self, unit: Unit) -> TransferSamples:
        samples = self._sample_set(unit.owners)
        return JoinedSamples(samples, self._sample_set(unit.unlabelled_owners)) if unit.unlabelled_owners else samples

    def _read_transfer_set(self, owners: tuple[int, ...]) -> SampleSet:
        names = ["public" if owner == PUBLIC else str(owner) for owner in owners or (PUBLIC,)]
        parts = [
            self._assignment.public if owner == PUBLIC else self._assignment.train[owner]
            for owner in owners or (PUBLIC,)
        ]
        return sample_set(
            self._dataset,
            np.concatenate(parts),
            name="distill " + "+".join(names),
            batch_size=self._recipe.batch_size,
            config=self._config,
            device=self._device,
        )

    def _peer(self, peer: int) -> nn.Module:
        """Return the network of a peer with the peer's pre-trained weights."""
        network = self._network(self._config.networks[peer])
        copy_state(self._peer_state(peer), network)
        return network

    def _build_network(self, network: PeerNetwork) -> nn.Module:
        return build_peer(network, self._dataset, seed=0).to(self._device)

    def _load_peer_state(self, peer: int) -> Mapping[str, Tensor]:
        network = self._network(self._config.networks[peer])
        tensors = load_state_of(network, self._inputs.peers_folder / weights_name(peer))
        return {name: tensor.to(self._device) for name, tensor in tensors.items()}

    def _predict_before(self, peer: int) -> Predictions:
        network = self._config.networks[peer]
        if self._is_stacked(network):
            # The predictions are computed by the same operations as after the training.
            student = self._stack(network, [TrialState(self._peer_state(peer), {})])
            (predictions,) = self._evaluator.predict_many(student.logits, peers=[peer])
        else:
            predictions = self._evaluator.predict(self._peer(peer), peer=peer)
        check_peer_logits(peer, is_finite=all_answered(predictions))
        return predictions


def _without_last(measured: _ByEpoch) -> _ByEpoch:
    """Return the accuracies by epoch of a trial that diverged, with None after its last epoch."""
    return {name: values and [*values[:-1], None] for name, values in measured.items()}


def start(inputs: SweepInputs, *, process_index: int) -> TaskFunction:
    """Open the sweep in this process, and return the function that trains a unit, or a range of its epochs."""
    return SweepRunner(inputs, device=process_device(inputs.device, process_index=process_index)).do
