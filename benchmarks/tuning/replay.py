"""Replay of a full sweep: a tuner suggests trials, observes results from the table, and its choices are scored.

Shape suffixes: Q = ordered pairs, S = settings, E = epochs of a whole trial.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.tuning.sample_counts import BATCH_SIZE
from benchmarks.tuning.scoring import GainsOnTest, Reference, Score, reference
from benchmarks.tuning.sweep_table import TRIALS_NAME, read_sweep, table_path
from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.study.objective import Objective
from peerkd.tuning.accounting import CostLedger
from peerkd.tuning.protocol import EarlierSweep, Observation, Suggestion, Tuner
from peerkd.tuning.space import Space
from peerkd.tuning.validation import ValidationResult, best_epochs, only_measured, without_forbidden


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Replay:
    """A full sweep whose trials tuners suggest.

    The result of a suggestion is read from the table, and its cost is charged.
    """

    name: str
    space: Space
    gains_QSE: FloatArray
    """The gain of the objective on validation after each epoch, as a tuner observes it, as a fraction."""

    test_gains: GainsOnTest
    """Test gains, which no tuner observes."""

    is_allowed_QSE: BoolArray | None = None
    """Whether the setting keeps the limit on the loss of own accuracy, on validation after each epoch. None: no
    limit."""

    chooses_epochs: bool = False
    """Whether a choice stops after the best epoch that was measured. If not, it is a whole trial."""

    is_augmented: bool = False
    """Whether a teacher's logits must be computed again for each epoch."""

    seed: int | None = None
    """Seed of the experiment; None if it is unknown."""

    @property
    def reference(self) -> Reference:
        """The test gains of the reference choices."""
        return reference(
            self.space,
            self.gains_QSE,
            self.test_gains,
            is_allowed_QSE=self.is_allowed_QSE,
            chooses_epochs=self.chooses_epochs,
        )

    @property
    def earlier(self) -> EarlierSweep:
        """The validation gains that a tuner may start from if it is scored on another experiment or on other pairs."""
        gains_QS = self.gains_QSE[:, :, -1]
        if self.chooses_epochs:
            gains_QS = _best_gains(self.gains_QSE, self.is_allowed_QSE)
        return EarlierSweep(space=self.space, gains_QS=gains_QS)

    def account(self) -> CostLedger:
        """Return a ledger on which nothing is charged yet."""
        return CostLedger(self.space, is_augmented=self.is_augmented)

    def answer(self, ask: Suggestion) -> ValidationResult:
        """Return the result of a suggestion."""
        done = ask.pair, ask.setting, slice(ask.num_epochs)
        gains_E = self.gains_QSE[done]
        is_allowed_E = _all_if_none(self.is_allowed_QSE, self.gains_QSE)[done]
        stop = int(best_epochs(gains_E, is_allowed_E)[-1]) if self.chooses_epochs else ask.num_epochs - 1
        return ValidationResult(float(gains_E[stop]), bool(is_allowed_E[stop]), stop + 1)

    def restricted(self, pairs: Sequence[int] | IntArray) -> "Replay":
        """Return the replay of the pairs with the given indices.

        The references and the full cost of the result are computed for these pairs alone.
        """
        places = np.asarray(pairs, dtype=np.int64)
        return Replay(
            name=self.name,
            space=self.space.restricted(places),
            gains_QSE=self.gains_QSE[places],
            test_gains=self.test_gains.restricted(places),
            is_allowed_QSE=None if self.is_allowed_QSE is None else self.is_allowed_QSE[places],
            chooses_epochs=self.chooses_epochs,
            is_augmented=self.is_augmented,
            seed=self.seed,
        )

    def pairs_with(self, peers: Sequence[int]) -> IntArray:
        """Return the indices of the pairs in which one of the peers is student or teacher."""
        is_with_Q = np.isin(self.space.students_Q, peers) | np.isin(self.space.teachers_Q, peers)
        return np.flatnonzero(is_with_Q).astype(np.int64)

    def held_out(self, pairs: Sequence[int] | IntArray) -> tuple[EarlierSweep, "Replay"]:
        """Return all pairs except the given ones as an earlier sweep, and the replay of the given pairs."""
        others = np.setdiff1d(np.arange(self.space.num_pairs), pairs)
        return self.restricted(others).earlier, self.restricted(pairs)


def play(
    tuner: Tuner, replay: Replay, budgets: Sequence[float], *, num_forward_samples: int = 0, seconds_so_far: float = 0.0
) -> list[Score]:
    """Answer a tuner's suggestions until each budget is spent, and score its choices at that point.

    Suggestions are answered one at a time. If the cost of a suggestion would exceed a budget, the choices are scored
    for this budget, and the suggestion is answered under the next larger budget. Under a limit on the loss of own
    accuracy, a choice counts only if it was measured and keeps the limit. If choices include the epoch to stop after, a
    choice stops after the best epoch that was measured. A choice that was never measured is a whole trial.

    Args:
        tuner: Fresh tuner.
        replay: Sweep to replay.
        budgets: Fractions of the full sweep's cost, from 0 to 1, ascending.
        num_forward_samples: Cost of the tuner's features; see ``accounting.feature_forward_samples``.
        seconds_so_far: Seconds that it took to build the tuner.

    Raises:
        ValueError: If the budgets are not ascending fractions.
    """
    check_budgets(budgets)
    account, known = replay.account(), replay.reference
    account.charge_forward(num_forward_samples)
    seconds, scores = seconds_so_far, []
    waiting = None
    seen: dict[tuple[int, int], ValidationResult] = {}
    for budget in budgets:
        while True:
            if waiting is None:
                started = time.perf_counter()
                waiting = next(iter(tuner.ask(1)), None)
                seconds += time.perf_counter() - started
            if waiting is None or not account.fits(waiting, budget):
                break
            account.charge(waiting)
            answer = seen[waiting.pair, waiting.setting] = replay.answer(waiting)
            started = time.perf_counter()
            tuner.tell(Observation(waiting, answer.gain))
            seconds += time.perf_counter() - started
            waiting = None
        started = time.perf_counter()
        choices_Q = tuner.choices()
        seconds += time.perf_counter() - started
        if replay.is_allowed_QSE is not None:
            choices_Q = only_measured(without_forbidden(choices_Q, seen), seen)
        scores.append(
            Score(
                budget=budget,
                spent_share=account.spent_share,
                spent=account.spent,
                gain=replay.test_gains.mean_gain(choices_Q, stops_Q=_stops(choices_Q, seen, replay)),
                reference=known,
                num_pairs_tried=account.num_pairs_tried,
                num_pairs_left=int((choices_Q < 0).sum()),
                num_trials=account.num_trials,
                tuner_seconds=seconds,
            )
        )
    return scores


def _stops(choices_Q: IntArray, seen: Mapping[tuple[int, int], ValidationResult], replay: Replay) -> IntArray | None:
    """Return the index of the epoch after which each choice stops. None if all choices are whole trials."""
    if not replay.chooses_epochs:
        return None
    whole = ValidationResult(0.0, num_epochs=replay.space.num_epochs)
    return np.array([seen.get(key, whole).num_epochs - 1 for key in enumerate(choices_Q.tolist())])


def _best_gains(gains_QSE: FloatArray, is_allowed_QSE: BoolArray | None) -> FloatArray:
    """Return the gain of each whole trial after its best epoch, of shape (Q, S)."""
    stops_QS1 = best_epochs(gains_QSE, _all_if_none(is_allowed_QSE, gains_QSE))[:, :, -1:]
    gains_QS: FloatArray = np.take_along_axis(gains_QSE, stops_QS1, axis=2)[:, :, 0]
    return gains_QS


def _all_if_none(is_allowed_QSE: BoolArray | None, gains_QSE: FloatArray) -> BoolArray:
    return np.broadcast_to(True, gains_QSE.shape) if is_allowed_QSE is None else is_allowed_QSE


def check_budgets(budgets: Sequence[float]) -> None:
    """Refuse budgets that are not ascending fractions.

    Raises:
        ValueError: If there is no budget, one is below 0 or above 1, or one is not above the one before it.
    """
    if not budgets or not all(0 <= budget <= 1 for budget in budgets):
        raise ValueError(f"budget must be at least one share from 0 to 1, got {list(budgets)}.")
    if any(later <= budget for budget, later in pairwise(budgets)):
        raise ValueError(f"budget must be in ascending order and each once, got {list(budgets)}.")


def load_replay(
    path: Path,
    *,
    objective: Objective | None = None,
    chooses_epochs: bool = False,
    default_transfer_set: str | None = None,
    default_learning_rate: float | None = None,
    is_augmented: bool = False,
    batch_size: int = BATCH_SIZE,
) -> Replay:
    """Read the table of a full sweep, and the table of features in the same folder if it exists.

    Args:
        path: Path of the table of trials, or of the folder that contains it as ``trials.parquet``.
        objective: Objective of the tuner. None for global accuracy without a limit.
        chooses_epochs: Whether choices have an epoch to stop after.
        default_transfer_set: Transfer set of the untuned default. None for the first one in the order of the table.
        default_learning_rate: Learning rate of the untuned default, where the table has several.
        is_augmented: Whether the sweep augmented its views, which only costs depend on.
        batch_size: Batch size of the distillations, which only costs depend on.

    Raises:
        ValueError: If the file is not a table of trials or lacks a column, a pair lacks a setting, or the default's
            learning rate is not one of several.
    """
    path, objective = table_path(path), objective or Objective()
    sweep = read_sweep(
        path,
        objective=objective,
        default_transfer_set=default_transfer_set,
        default_learning_rate=default_learning_rate,
        tests_by_epoch=chooses_epochs,
        batch_size=batch_size,
    )
    return Replay(
        name=path.parent.name if path.name == TRIALS_NAME else path.stem,
        space=sweep.space,
        gains_QSE=objective.penalised_gains(sweep.validation_gains_QSE),
        test_gains=GainsOnTest(objective.gains(sweep.test_gains_QSE)),
        is_allowed_QSE=objective.allows(sweep.validation_gains_QSE) if objective.is_limited else None,
        chooses_epochs=chooses_epochs,
        is_augmented=is_augmented,
        seed=sweep.seed,
    )


def load_earlier(
    path: Path,
    *,
    objective: Objective | None = None,
    chooses_epochs: bool = False,
    default_transfer_set: str | None = None,
    default_learning_rate: float | None = None,
) -> EarlierSweep:
    """Read a full sweep's table as an earlier sweep that a tuner may start from.

    Accuracies by epoch are only needed where epochs are chosen.

    Raises:
        ValueError: As for ``load_replay``.
    """
    path, objective = table_path(path), objective or Objective()
    sweep = read_sweep(
        path,
        objective=objective,
        default_transfer_set=default_transfer_set,
        default_learning_rate=default_learning_rate,
        by_epoch=chooses_epochs,
    )
    gains_QSE = objective.penalised_gains(sweep.validation_gains_QSE)
    # If epochs are not chosen, the axis of epochs has length 1, for whole trials.
    return EarlierSweep(
        space=sweep.space, gains_QS=_best_gains(gains_QSE, objective.allows(sweep.validation_gains_QSE))
    )
