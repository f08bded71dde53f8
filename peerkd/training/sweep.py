"""Training and evaluation of the units of a sweep.

Batches and teacher logits are computed once for all trials of a unit, and many tiny students train side by side. The
record of a trial depends neither on the other trials nor on how many were trained together.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor

from peerkd.config.given_peers import PeerNetwork
from peerkd.results.schema import BY_EPOCH_COLUMNS, IS_FINITE
from peerkd.study.trials import Trial, Unit
from peerkd.training.checkpoints import copy_state
from peerkd.training.devices import process_device
from peerkd.training.distill import TeacherLogits
from peerkd.training.engines import Engines
from peerkd.training.evaluate import Evaluator, Predictions
from peerkd.training.finite import all_answered, check_peer_logits
from peerkd.training.inputs import EngineChoice, EpochRange, JointEpochRanges, SweepInputs, epoch_ranges
from peerkd.training.joined_samples import TransferSamples
from peerkd.training.kept_results import kept_results
from peerkd.training.pair_targets import PairTargets, class_counts
from peerkd.training.process_pool import OpenTask, TaskFunction
from peerkd.training.student_groups import StudentGroup
from peerkd.training.sweep_data import SweepData
from peerkd.training.trial_state import TrialState, check_state, load_state, save_state, state_path

_ByEpoch: TypeAlias = Mapping[str, list[float | None] | None]
"""The accuracies of a trial after each epoch, by column of the table.

An accuracy is None if the training was not finite after the epoch. A whole column is None if it was not measured.
"""


class SweepRunner:
    """Trains and evaluates trials of a sweep in one process, and keeps data that several trials use in memory.

    On a GPU ``close`` must be called, because a process can have the lanes of only one sweep at a time.
    """

    def __init__(self, inputs: SweepInputs, *, device: torch.device) -> None:
        self._inputs, self._config = inputs, inputs.config
        self._recipe = inputs.config.distill
        self.data = SweepData(inputs, device=device)
        self.engines = Engines(inputs.config, self.data, device=device)
        parts = self.data.dataset, self.data.assignment
        self._evaluator = Evaluator(*parts, device=device, precision=self._recipe.precision)
        self._float32_evaluator = (
            self._evaluator if self._recipe.precision == "float32" else Evaluator(*parts, device=device)
        )
        self._counts_PK = class_counts(*parts, device=device)
        self._before = kept_results(self._predict_before)

    def close(self) -> None:
        """End the engines and free the memory of their lanes."""
        self.engines.close()

    def __enter__(self) -> Self:
        """Return the runner itself, which is closed at the end of the ``with`` statement."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def do(self, task: Unit | EpochRange | JointEpochRanges) -> Iterator[dict[str, Any] | EngineChoice]:
        """Train and evaluate the trials of a task. Yield the record of each trial, and choices of engines for the log.

        Raises:
            ValueError: If a trial has not reached the first epoch of its range, or joint ranges differ in transfer set
                or epochs.
        """
        ranges = epoch_ranges(task, num_epochs=self._recipe.epochs)
        unit = ranges[0].unit
        samples = self.data.transfer_set(unit)
        epochs = range(ranges[0].first_epoch, ranges[0].last_epoch)
        requested = [(trial, each.unit.teacher) for each in ranges for trial in each.unit.trials]
        # Students of one loss become neighbours. Among them the order by student or teacher is kept.
        requested.sort(key=lambda each: self.engines.loss(each[0]))
        if len(ranges) > 1:
            # So do students of one network. In a unit they are neighbours already.
            requested.sort(key=lambda each: self._config.networks[each[0].student])
        targets = PairTargets(
            lambda peer: self.data.logits(peer, unit, epochs),
            counts_PK=self._counts_PK,
            target_of=lambda trial: self._recipe.target_labelled(trial.setting.target),
        )
        for (network, loss), alike in groupby(requested, key=lambda each: self._engine_key(each[0])):
            these = list(alike)
            size = self.engines.group_size(network, loss, samples, num_trials=len(these))
            yield from self.engines.take_choices()
            for start in range(0, len(these), size):
                group = these[start : start + size]
                yield from self._do_group([trial for trial, _ in group], samples, targets.of_group(group), epochs)

    def run_teacher(self, unit: Unit) -> TeacherLogits | None:
        """Return the logits of a unit's teacher on the unit's transfer set; None for a unit of fine-tuning.

        ``peerkd plan`` measures the time of this step.
        """
        return None if unit.teacher is None else self.data.logits(unit.teacher, unit, range(self._recipe.epochs))

    def accuracies(self, peer: int, weights: Mapping[str, Tensor]) -> dict[str, float | None]:
        """Return the accuracies of a peer's network with given weights, computed in float32 by the plain network.

        A user who loads the weights from a file measures the same accuracies. The accuracies in the record of a trial
        may differ by rounding, because of the engine and the precision of the trial. The names are
        ``{validation,test}_{global,own}_accuracy``.
        """
        network = self.data.network(self._config.networks[peer])
        copy_state(weights, network)
        return self._float32_evaluator.accuracies(self._float32_evaluator.predict(network, peer=peer), peer=peer)

    def peer_state(self, peer: int) -> Mapping[str, Tensor]:
        """Return the weights of a pre-trained peer."""
        return self.data.peer_state(peer)

    def _engine_key(self, trial: Trial) -> tuple[PeerNetwork, str]:
        """Return the network and the loss of a trial. All students of a group must have the same network and loss."""
        return self._config.networks[trial.student], self.engines.loss(trial)

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
        """Train a group of students for some epochs.

        Returns:
            The accuracies of each trial after each epoch, if the config requests them, and the final predictions.
        """
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
        return self.engines.students(trials, [self._start(trial, epochs) for trial in trials], samples)

    def _start(self, trial: Trial, epochs: range) -> TrialState:
        if epochs.start == 0:
            return TrialState(self.data.peer_state(trial.student), {})
        if self._inputs.states_folder is None:
            raise ValueError(
                "states_folder must be set for trials that continue from an earlier epoch range, got none."
            )
        path = state_path(self._inputs.states_folder, trial, num_epochs=epochs.start)
        state = load_state(path)
        check_state(state, self.data.network(self._config.networks[trial.student]), source=str(path))
        return state

    def _predict_before(self, peer: int) -> Predictions:
        network = self._config.networks[peer]
        if self.engines.is_stacked(network):
            # The predictions are computed by the same operations as after the training.
            student = self.engines.stack(network, [TrialState(self.data.peer_state(peer), {})])
            (predictions,) = self._evaluator.predict_many(student.logits, peers=[peer])
        else:
            predictions = self._evaluator.predict(self.data.peer(peer), peer=peer)
        check_peer_logits(peer, is_finite=all_answered(predictions))
        return predictions


def _without_last(measured: _ByEpoch) -> _ByEpoch:
    """Return the accuracies of a trial that diverged, with the value of its last epoch replaced by None."""
    return {name: values and [*values[:-1], None] for name, values in measured.items()}


def start(inputs: SweepInputs, *, process_index: int) -> TaskFunction:
    """Open the data and the peers' networks in a process, and return a function that trains the trials of a task."""
    runner = SweepRunner(inputs, device=process_device(inputs.device, process_index=process_index))
    return OpenTask(runner.do, runner.close)
