"""Doing units of the sweep: batches and teacher logits once for all trials of a unit, many tiny students at once.

What a trial's record says depends neither on the other trials, nor on how many were done at once.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.results.schema import BY_EPOCH_COLUMNS, IS_FINITE
from peerkd.study.transfer_sets import PUBLIC
from peerkd.study.trials import Trial, Unit
from peerkd.training.checkpoints import copy_state, load_state_of
from peerkd.training.distill import TeacherLogits, teacher_logits
from peerkd.training.evaluate import Judge, Predictions
from peerkd.training.finite import all_answered, check_peer_logits
from peerkd.training.group_size import GroupSizes
from peerkd.training.inputs import Leg, LegsTogether, SweepInputs, WayTaken
from peerkd.training.peers import build_peer, sample_set, weights_name
from peerkd.training.placement import worker_device
from peerkd.training.samples import FirstBatches, SampleSet
from peerkd.training.stacked.losses import FAST_GRADIENTS
from peerkd.training.stacked.students import Students, pays
from peerkd.training.trainees import LoneTrainee, StackedTrainees, Trainees
from peerkd.training.trial_state import TrialState, check_state, load_state, save_state, state_path
from peerkd.training.workers import Perform

if TYPE_CHECKING:
    from peerkd.training.captured.in_flight import InFlight

_NUM_NEIGHBOURS: Final = 2
"""Transfer sets that a sweep keeps: neighbours in its plan often have the same one."""

_NUM_KEPT_PEERS: Final = 32
"""Their weights are kept in memory; those of others are read again when they are needed."""

_NUM_MEASURED_BATCHES: Final = 2

_ByEpoch: TypeAlias = Mapping[str, list[float | None] | None]
"""Accuracies by column and epoch: None after an epoch in which the network was not finite, and for a column that was
not measured."""

_KEPT_LOGITS_BYTES: Final = 2**26
_KEPT_SETS_BYTES: Final = 2**28
"""A tuned study comes back to a teacher and a set with other settings, and does not know beforehand when."""


class Sweep:
    """The pre-trained peers, the data they distil on and are judged on. Opened once a process."""

    def __init__(self, inputs: SweepInputs, *, device: torch.device) -> None:
        self._inputs, self._config, self._device = inputs, inputs.config, device
        self._recipe = inputs.config.distill
        self._dataset = open_dataset(inputs.dataset_folder)
        self._assignment = Assignment.load(inputs.partition_folder)
        self._judge = Judge(self._dataset, self._assignment, device=device, precision=self._recipe.precision)
        self._group_sizes = GroupSizes()
        self._in_flight = self._open_in_flight() if device.type == "cuda" else None
        self._news = self._loss_news()
        # One module an architecture, its state swapped for each trial.
        self._network = cache(self._build_network)
        self._peer_state = lru_cache(maxsize=_NUM_KEPT_PEERS)(self._load_peer_state)
        self._before = cache(self._predict_before)
        self._transfer_set = lru_cache(maxsize=self._num_kept_sets())(self._read_transfer_set)
        self._kept_logits = lru_cache(maxsize=self._num_kept_logits())(self._make_logits)

    def do(self, task: Unit | Leg | LegsTogether) -> Iterator[dict[str, Any] | WayTaken]:
        """Train and judge every trial of a unit, or some epochs of each; yield its record when that is done.

        Raises:
            ValueError: If a leg is to go on from where its trials have not come to, or legs that are to be done
                together differ in transfer set or epochs.
        """
        legs = self._legs(task)
        owners = legs[0].unit.owners
        samples = self._transfer_set(owners)
        epochs = range(legs[0].first_epoch, legs[0].last_epoch)
        asked = [(trial, leg.unit.teacher) for leg in legs for trial in leg.unit.trials]
        if len(legs) > 1:
            # Students of one architecture are neighbours, and among them those of one teacher.
            asked.sort(key=lambda each: self._config.architectures[each[0].student])
        logits: dict[int | None, TeacherLogits | None] = {}
        for architecture, alike in groupby(asked, key=lambda each: self._config.architectures[each[0].student]):
            these = list(alike)
            size = self._group_size(architecture, samples, num_trials=len(these))
            yield from (*self._news, *(self._in_flight or self._group_sizes).read_news())
            self._news = ()
            for start in range(0, len(these), size):
                group = these[start : start + size]
                # Only those of the group's teachers are in memory; neighbours have theirs in common.
                teachers = dict.fromkeys(teacher for _, teacher in group)
                logits = {
                    teacher: logits[teacher] if teacher in logits else self._logits(teacher, owners, epochs)
                    for teacher in teachers
                }
                yield from self._do_group(
                    [trial for trial, _ in group], samples, [logits[teacher] for _, teacher in group], epochs
                )

    def run_teacher(self, unit: Unit) -> TeacherLogits | None:
        """Return a teacher's logits on a unit's transfer set, as doing the unit begins: to see how long that takes."""
        return self._logits(unit.teacher, unit.owners, range(self._recipe.epochs))

    def _legs(self, task: Unit | Leg | LegsTogether) -> tuple[Leg, ...]:
        if isinstance(task, Unit):
            return (Leg(unit=task, first_epoch=0, last_epoch=self._recipe.epochs),)
        if isinstance(task, Leg):
            return (task,)
        kinds = {(leg.unit.owners, leg.first_epoch, leg.last_epoch) for leg in task.legs}
        if len(kinds) != 1:
            raise ValueError(f"legs must be of one transfer set and the same epochs, got {len(kinds)} kinds.")
        return task.legs

    def _logits(self, teacher: int | None, owners: tuple[int, ...], epochs: range) -> TeacherLogits | None:
        if teacher is None:
            return None
        make = self._make_logits if self._inputs.states_folder is None else self._kept_logits
        if self._config.teachers_vary:
            return {epoch: make(teacher, owners, epoch) for epoch in epochs}
        samples = self._transfer_set(owners)
        logits_SK = samples.in_order(make(teacher, owners, 0), 0)
        return {epoch: samples.in_batches(logits_SK, epoch) for epoch in epochs}

    def _make_logits(self, teacher: int, owners: tuple[int, ...], epoch: int) -> Sequence[Tensor]:
        of_epoch = teacher_logits(
            self._peer(teacher),
            self._transfer_set(owners),
            epochs=range(epoch, epoch + 1),
            mode=self._recipe.conventions.teacher_mode,
            precision=self._recipe.precision,
        )
        return of_epoch[epoch]

    def _num_kept_logits(self) -> int:
        """Return of how many epochs a teacher's logits are kept, if they are of the largest transfer set."""
        return _KEPT_LOGITS_BYTES // (4 * self._max_transfer_samples() * self._dataset.num_classes)

    def _num_kept_sets(self) -> int:
        """Return how many transfer sets are kept with their batches, if they are of the largest size."""
        if self._inputs.states_folder is None:
            return _NUM_NEIGHBOURS
        set_bytes = self._recipe.epochs * self._max_transfer_samples() * math.prod(self._dataset.image_shape)
        return max(_KEPT_SETS_BYTES // set_bytes, _NUM_NEIGHBOURS)

    def _max_transfer_samples(self) -> int:
        *_, second, first = sorted(len(indices) for indices in self._assignment.train)
        return first + second + len(self._assignment.public)

    def _do_group(
        self, trials: Sequence[Trial], samples: SampleSet, logits: Sequence[TeacherLogits | None], epochs: range
    ) -> Iterator[dict[str, Any]]:
        started = time.perf_counter()
        before = [self._before(trial.student) for trial in trials]
        students = self._trainees(trials, samples, epochs)
        by_epoch, after = self._train(students, samples, logits, trials=trials, epochs=epochs)
        ended_finite = [
            is_finite and all_answered(predictions)
            for is_finite, predictions in zip(students.are_finite(), after, strict=True)
        ]
        if self._inputs.states_folder:
            for trial, end, is_finite in zip(trials, students.states(), ended_finite, strict=True):
                # Nothing goes on from a state that is not finite.
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
                **self._judge.compare(peer_before, peer_after if is_finite else None, peer=trial.student),
                **(measured if is_finite else _without_last(measured)),
                "seconds": seconds,
            }

    def _train(
        self,
        students: Trainees,
        samples: SampleSet,
        logits: Sequence[TeacherLogits | None],
        *,
        trials: Sequence[Trial],
        epochs: range,
    ) -> tuple[Sequence[_ByEpoch], list[Predictions]]:
        """Return what each trial was after each epoch, if that is asked for, and the predictions at the end."""
        if not self._config.sweep.validate_every_epoch:
            students.train(samples, logits, epochs=epochs)
            return [dict.fromkeys(BY_EPOCH_COLUMNS.values()) for _ in trials], students.predict(self._judge)
        measured: list[dict[str, list[float | None]]] = [
            {name: [] for name in BY_EPOCH_COLUMNS.values()} for _ in trials
        ]
        for epoch in epochs:
            students.train(samples, logits, epochs=range(epoch, epoch + 1))
            # The last epoch's are those of the trial.
            predictions = students.predict(self._judge)
            for trial, lists, predicted in zip(trials, measured, predictions, strict=True):
                accuracies = self._judge.accuracies(predicted, peer=trial.student)
                for (split, scope), name in BY_EPOCH_COLUMNS.items():
                    lists[name].append(accuracies[f"{split}_{scope}_accuracy"])
        return measured, predictions

    def _trainees(self, trials: Sequence[Trial], samples: SampleSet, epochs: range) -> Trainees:
        starts = [self._start(trial, epochs) for trial in trials]
        architecture = self._config.architectures[trials[0].student]
        if self._is_stacked(architecture):
            return StackedTrainees(self._stack(architecture, starts), trials, recipe=self._recipe)
        if self._in_flight and self._in_flight.number(architecture, samples):
            return self._in_flight.trainees(architecture, trials, starts)
        (trial,), (start,) = trials, starts
        return LoneTrainee(self._network(architecture), trial, start, recipe=self._recipe)

    def _start(self, trial: Trial, epochs: range) -> TrialState:
        if epochs.start == 0:
            return TrialState(self._peer_state(trial.student), {})
        if self._inputs.states_folder is None:
            raise ValueError("states_folder must be set where trials go on from earlier legs, got none.")
        path = state_path(self._inputs.states_folder, trial, num_epochs=epochs.start)
        state = load_state(path)
        check_state(state, self._network(self._config.architectures[trial.student]), source=str(path))
        return state

    def _is_stacked(self, architecture: str) -> bool:
        if self._in_flight or self._recipe.precision != "float32":
            return False
        return pays(architecture, image_shape_CHW=self._dataset.image_shape)

    def _loss_news(self) -> tuple[WayTaken, ...]:
        """Return a line for people where students side by side have no fast path for the loss."""
        loss = self._recipe.loss.kind
        if loss in FAST_GRADIENTS or not any(map(self._is_stacked, self._config.architectures)):
            return ()
        text = f"{loss}: students side by side take its gradient by autograd, as no faster one is written for it"
        return (WayTaken(f"loss {loss}", text),)

    def _group_size(self, architecture: str, samples: SampleSet, *, num_trials: int) -> int:
        """Return how many students to train at once; measured on the first sets with many."""
        if self._in_flight:
            return max(self._in_flight.number(architecture, samples), 1)
        if not self._is_stacked(architecture):
            return 1

        def train(num_students: int) -> None:
            start = TrialState(self._network(architecture).state_dict(), {})
            self._stack(architecture, [start] * num_students).train(
                FirstBatches(samples, _NUM_MEASURED_BATCHES),
                teacher_logits=[None] * num_students,
                distillation_weights=[0.0] * num_students,
                temperatures=[None] * num_students,
                recipe=self._recipe,
                epochs=range(1),
            )

        return self._group_sizes.best(architecture, train, num_students=num_trials)

    def _open_in_flight(self) -> "InFlight":
        # Only a GPU needs it.
        from peerkd.training.captured.in_flight import InFlight

        return InFlight(
            self._build_network,
            num_architectures=len(set(self._config.architectures)),
            image_shape_CHW=self._dataset.image_shape,
            num_classes=self._dataset.num_classes,
            recipe=self._recipe,
            device=self._device,
        )

    def _stack(self, architecture: str, starts: Sequence[TrialState]) -> Students:
        return Students(
            architecture,
            [start.weights for start in starts],
            momenta=[start.momenta for start in starts],
            image_shape_CHW=self._dataset.image_shape,
            num_classes=self._dataset.num_classes,
        )

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
        """Return the network of a peer's architecture with the peer's pre-trained weights in place."""
        network = self._network(self._config.architectures[peer])
        copy_state(self._peer_state(peer), network)
        return network

    def _build_network(self, architecture: str) -> nn.Module:
        return build_peer(architecture, self._dataset, seed=0).to(self._device)

    def _load_peer_state(self, peer: int) -> Mapping[str, Tensor]:
        network = self._network(self._config.architectures[peer])
        tensors = load_state_of(network, self._inputs.peers_folder / weights_name(peer))
        return {name: tensor.to(self._device) for name, tensor in tensors.items()}

    def _predict_before(self, peer: int) -> Predictions:
        architecture = self._config.architectures[peer]
        if self._is_stacked(architecture):
            # By the same arithmetic as afterwards.
            student = self._stack(architecture, [TrialState(self._peer_state(peer), {})])
            (predictions,) = self._judge.predict_many(student.logits, peers=[peer])
        else:
            predictions = self._judge.predict(self._peer(peer), peer=peer)
        check_peer_logits(peer, is_finite=all_answered(predictions))
        return predictions


def _without_last(measured: _ByEpoch) -> _ByEpoch:
    """Return the accuracies by epoch of a trial that diverged, with None after its last epoch."""
    return {name: values and [*values[:-1], None] for name, values in measured.items()}


def start(inputs: SweepInputs, *, worker: int) -> Perform:
    """Open the sweep in a worker process and return what does a unit, or a leg of one, there."""
    return Sweep(inputs, device=worker_device(inputs.device, worker=worker)).do
