"""The choice of a tuned study for every ordered pair, with the results of the chosen trials."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from peerkd.results.pair_advice import PairAdvice, Predictions, advise_pairs
from peerkd.results.pair_rows import NO_ROW
from peerkd.results.selection import candidates, ranks_of, rows_of_pairs
from peerkd.stages.journals import Record
from peerkd.stages.work.tuning.iteration_history import IterationHistory
from peerkd.stages.work.tuning.study import TunedStudy
from peerkd.stages.work.tuning.trial_results import at_best_epochs, gains_at_end, gains_by_epoch
from peerkd.study.defaults import UntunedDefault
from peerkd.study.objective import Objective
from peerkd.study.splits import EvaluationSets
from peerkd.study.trials import IDENTITY_COLUMNS, record_identity
from peerkd.tuning.space import NO_SETTING


class ChoiceRows:
    """Computes the table of choices, with one row for each pair.

    Test accuracies are read here for the first time, when all choices have been made.
    """

    def __init__(
        self,
        history: IterationHistory,
        study: TunedStudy,
        *,
        objective: Objective,
        default: UntunedDefault,
        chooses_epochs: bool,
    ) -> None:
        self._history, self._study, self._objective, self._default = history, study, objective, default
        self._chooses_epochs = chooses_epochs
        self._outcome = study.outcome()
        self._chosen = {
            self._history.trial(pair, setting).identity: pair
            for pair, setting in enumerate(self._outcome.choices_Q.tolist())
            if setting != NO_SETTING
        }
        self._test_gains: dict[int, float] = {}

    def keep_test_gains(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records unchanged, and keep the test gains of the chosen trials, which ``rows`` needs."""
        for record in records:
            pair = self._chosen.get(record_identity(record))
            if pair is not None and (self._chooses_epochs or record["epochs"] == self._study.space.num_epochs):
                self._test_gains[pair] = self._test_gain(pair, record)
            yield record

    def _test_gain(self, pair: int, record: Record) -> float:
        if not self._chooses_epochs:
            return float(self._objective.gains(gains_at_end([record], self._objective, split="test"))[0])
        gains_E = self._objective.gains(gains_by_epoch(record, self._objective, split="test"))
        return float(gains_E[self._outcome.epochs_Q[pair] - 1])

    def advice(self, trials: pa.Table, sets_P: Sequence[EvaluationSets]) -> PairAdvice:
        """Return the advice for all pairs. For each pair, it compares the chosen distillation with the pair's controls.

        Args:
            trials: The table of trials, including the controls.
            sets_P: The sizes of the evaluation sets of every peer.
        """
        space = self._study.space
        is_pair_PP = np.zeros((len(sets_P), len(sets_P)), dtype=np.bool_)
        is_pair_PP[space.students_Q, space.teachers_Q] = True
        if self._chooses_epochs:
            trials = at_best_epochs(trials, self._objective)
        found = candidates(trials, metric="global_accuracy", default=self._default, is_pair_PP=is_pair_PP)
        is_control_N = found.is_control
        is_judged_N = found.is_finite & ((trials["epochs"].to_numpy() == space.num_epochs) | self._chooses_epochs)
        distillation_PP = np.full(found.is_pair_PP.shape, NO_ROW, dtype=np.int64)
        for row, record in enumerate(trials.select(IDENTITY_COLUMNS).to_pylist()):
            pair = self._chosen.get(record_identity(record))
            if pair is not None and is_judged_N[row] and not is_control_N[row]:
                distillation_PP[space.students_Q[pair], space.teachers_Q[pair]] = row
        return advise_pairs(
            trials,
            # A control whose target is the student's old self is among the settings of the search, which may have
            # stopped it.
            rows_of_pairs(found, ~is_control_N | is_judged_N),
            self._objective,
            num_peers=len(sets_P),
            sets_P=sets_P,
            ranks=ranks_of(found, None),
            distillation_PP=distillation_PP,
        )

    def rows(self, advice: PairAdvice) -> Iterator[dict[str, Any]]:
        """Yield the row of each pair. Before this call, all records must have passed through ``keep_test_gains``."""
        space, outcome = self._study.space, self._outcome
        deviations_Q = self._study.deviations()
        num_trials_Q = np.bincount(
            [pair for pair, setting in self._history.epochs if not space.control(setting)],
            minlength=space.num_pairs,
        )
        for pair, number in enumerate(outcome.choices_Q.tolist()):
            place = int(space.students_Q[pair]), int(space.teachers_Q[pair])
            setting = None if number == NO_SETTING else space.settings[number]
            yield {
                "student": place[0],
                "teacher": place[1],
                "decision": str(advice.decision[place]),
                "transfer_set": setting and setting.transfer_set,
                "temperature": setting and setting.temperature,
                "alpha": setting and setting.alpha,
                "distillation_weight": setting and setting.distillation_weight,
                "learning_rate": setting and setting.learning_rate,
                "loss": setting and setting.loss,
                "target": setting and setting.target,
                "num_trials": int(num_trials_Q[pair]),
                "epochs": int(outcome.epochs_Q[pair]),
                "validation_gain": _known(outcome.gains_Q[pair]),
                "predicted_gain": _known(outcome.predicted_Q[pair]),
                "predicted_gain_deviation": _known(deviations_Q[pair]),
                **_predicted("corrected_gain", advice.gain, place),
                **_predicted("advantage", advice.advantage, place),
                "test_gain": self._test_gains.get(pair),
            }

    def counts(self, advice: PairAdvice) -> dict[str, int]:
        """Return counts for the manifest, so that a reader need not open the table.

        They are the number of pairs, the number of pairs that should distil, and the number of chosen trials that ran
        to their last epoch.
        """
        return {
            "num_pairs": self._study.space.num_pairs,
            "num_pairs_distilled": advice.count("distil"),
            "num_chosen_whole": sum(
                self._history.epochs.get((pair, setting)) == self._study.space.num_epochs
                for pair, setting in enumerate(self._outcome.choices_Q.tolist())
            ),
        }


def _predicted(name: str, predictions: Predictions, place: tuple[int, int]) -> dict[str, float | None]:
    return {
        name: _known(predictions.value[place]),
        f"{name}_low": _known(predictions.low[place]),
        f"{name}_high": _known(predictions.high[place]),
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
