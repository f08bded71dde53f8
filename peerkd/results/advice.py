"""The advice for a student: learn from a teacher, train on without one, or stay unchanged.

The same rule decides for a pair and for a student, after a sweep and after a tuned study. The best distillation is
compared with the unchanged student and with the best training without a teacher. It is advised if each of the two
differences in accuracy on validation exceeds its own noise. Otherwise the best training without a teacher is advised if
its gain over the unchanged student exceeds the noise of this gain. Otherwise the student stays unchanged.

The best of many trials has a higher gain on the samples on which it was chosen than on other samples: the gain is
optimistic. Efron's bootstrap (1983, JASA 78:316) estimates the optimism. In each draw, new gains of all trials are
drawn from a normal distribution around the observed gains, with the noise of the validation set, and the trial with the
highest drawn gain is chosen. The drawn gain of this trial minus its observed gain is the error of the choice. The mean
error over draws is the optimism, and the standard deviation of the error is the noise. For a difference between the
best distillation and the best training without a teacher, both choices are repeated in each draw. Where all trials are
equally good, the observed gains differ more than the true gains, and the bootstrap finds only a part of the optimism.

Shape suffixes: N = trials of one student, C = trials that may be the best one, B = draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.results import validation_noise
from peerkd.results.outcome import gains
from peerkd.results.schema import IS_FINITE, TARGET
from peerkd.results.validation_noise import gain_covariances
from peerkd.study import ties
from peerkd.study.controls import are_controls
from peerkd.study.objective import Objective
from peerkd.study.splits import EvaluationSets
from peerkd.study.student_choice import StudentDecision

COLUMNS: Final = (IS_FINITE, "distillation_weight", TARGET, *validation_noise.COLUMNS)
"""The columns of the table of trials from which advice is computed."""

Columns = Mapping[str, Sequence[Any] | NDArray[Any]]
"""The values of ``COLUMNS`` for trials of one student, by name."""

NUM_DEVIATIONS: Final = 1.0
"""A difference counts if it exceeds this number of standard deviations of its noise.

The number was chosen by measurement, which ``docs/results`` describes."""

COVERAGE: Final = 0.9
"""The nominal coverage of the interval of a predicted gain."""

_NORMAL_QUANTILE: Final = 1.6449
"""The quantile of the standard normal distribution at ``(1 + COVERAGE) / 2``."""

_NUM_DRAWS: Final = 400
_SEED: Final = 0
_MAX_COMPARED: Final = 256
"""The maximum number of distillations, and the maximum number of controls, whose gains are drawn in the bootstrap. The
trials with the highest gains are taken."""


class Prediction(NamedTuple):
    """The value that a gain, or a difference of two gains, is expected to have on other samples, as a fraction."""

    value: float
    """The value on validation without the optimism of the choice."""

    deviation: float
    """The standard deviation of the value's noise."""

    test_deviation: float
    """The standard deviation of the noise of a measurement of the value on the test set."""

    @property
    def interval(self) -> tuple[float, float]:
        """The interval that contains the value measured on the test set with a probability of ``COVERAGE``."""
        half = _NORMAL_QUANTILE * float(np.hypot(self.deviation, self.test_deviation))
        return self.value - half, self.value + half

    @property
    def is_above_noise(self) -> bool:
        """Whether the value is above 0 by more than its noise."""
        return bool(ties.is_above(self.value, NUM_DEVIATIONS * self.deviation))


NO_CHANGE: Final = Prediction(0.0, 0.0, 0.0)
"""The predicted gain of a student that stays unchanged: 0, without noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentAdvice:
    """The best trials of one student, or of one pair, with their predicted gains and the decision.

    A position is an index into the trials from which the advice was computed.
    """

    decision: StudentDecision

    distillation: int | None
    """The position of the best distillation on validation. None if all diverged or none was trained."""

    control: int | None
    """The position of the best training without a teacher. None if all diverged or none was trained."""

    gain: Prediction | None
    """The gain of the best distillation over the unchanged student."""

    control_gain: Prediction | None
    """The gain of the best training without a teacher over the unchanged student."""

    advantage: Prediction | None
    """The gain of the best distillation minus the gain of the best training without a teacher. None if one of the two
    is missing."""

    @property
    def advised(self) -> int | None:
        """The position of the advised trial. None if the student should stay unchanged."""
        return {"distil": self.distillation, "fine_tune": self.control, "leave": None}[self.decision]

    @property
    def advised_gain(self) -> Prediction:
        """The predicted gain of the advised training over the unchanged student; 0 if no training is advised."""
        found = {"distil": self.gain, "fine_tune": self.control_gain, "leave": NO_CHANGE}[self.decision]
        assert found is not None, "what is advised has a gain"
        return found


def advise(
    columns: Columns,
    objective: Objective,
    sets: EvaluationSets,
    *,
    ranks_N: IntArray,
    distillation: int | None = None,
) -> StudentAdvice:
    """Return the advice that follows from trials of one student.

    Args:
        columns: The N values of each column in ``COLUMNS``, by name of the column.
        objective: The objective of the choice. It lowers the gain of a trial that breaks the limit on forgetting.
        sets: The sizes of the student's evaluation sets.
        ranks_N: The rank of each trial in ties. The lowest rank wins a tie.
        distillation: The position of the distillation that a tuner has chosen, which must not have diverged. It takes
            the place of the best distillation. None means the best distillation on validation.
    """
    is_finite_N = np.asarray(columns[IS_FINITE], dtype=np.bool_)
    is_control_N = np.array(are_controls(columns["distillation_weight"], columns[TARGET]), dtype=np.bool_)
    gains_N = np.where(is_finite_N, _gains(columns, objective), -np.inf)
    best = [
        _best(gains_N, ranks_N, np.flatnonzero(is_finite_N & is_kind_N)) for is_kind_N in (~is_control_N, is_control_N)
    ]
    if distillation is not None:
        best[0] = distillation
    places_C = _compared(gains_N, is_control_N, is_finite_N, best)
    distilled, control = (None if place is None else int(np.searchsorted(places_C, place)) for place in best)
    measured = {name: _take(columns[name], places_C) for name in validation_noise.COLUMNS}
    on_validation_CC, on_test_CC = (
        gain_covariances(measured, objective, validation=sets.validation, wanted=(sets.validation, sets.test))
        if places_C.size
        else (np.empty((0, 0)), np.empty((0, 0)))
    )
    gains_C, is_control_C = gains_N[places_C], is_control_N[places_C]
    noise_BC = _draw(on_validation_CC)
    errors_B: dict[bool, FloatArray] = {}
    """The errors of the choice among the distillations, and among the controls."""

    def errors_of(place: int) -> FloatArray:
        is_control = bool(is_control_C[place])
        if is_control not in errors_B:
            errors_B[is_control] = _errors_of_choice(gains_C, noise_BC, is_control_C == is_control)
        return errors_B[is_control]

    def predict(place: int | None, minus: int | None = None) -> Prediction | None:
        if place is None:
            return None
        value, error_B = gains_C[place], errors_of(place)
        test_variance = on_test_CC[place, place]
        if minus is not None:
            value, error_B = value - gains_C[minus], error_B - errors_of(minus)
            sign_C = np.zeros(len(gains_C))
            sign_C[place], sign_C[minus] = 1, -1
            test_variance = sign_C @ on_test_CC @ sign_C
        return Prediction(
            value=float(value - error_B.mean()),
            deviation=float(error_B.std()),
            test_deviation=float(np.sqrt(max(test_variance, 0))),
        )

    gain, control_gain = predict(distilled), predict(control)
    advantage = None if distilled is None or control is None else predict(distilled, minus=control)
    return StudentAdvice(
        decision=decide(gain, control_gain, advantage),
        distillation=best[0],
        control=best[1],
        gain=gain,
        control_gain=control_gain,
        advantage=advantage,
    )


def decide(gain: Prediction | None, control_gain: Prediction | None, advantage: Prediction | None) -> StudentDecision:
    """Return the decision that follows from predicted gains.

    The decision is to distil if ``gain`` and ``advantage`` are above their noise; a missing ``advantage`` is ignored.
    Otherwise it is to fine-tune if ``control_gain`` is above its noise. Otherwise the student stays unchanged.

    Args:
        gain: The gain of the best distillation over the unchanged student; None if there is no distillation.
        control_gain: The gain of the best training without a teacher over the unchanged student; None if there is no
            such training.
        advantage: ``gain`` minus ``control_gain``; None if one of them is None.
    """
    if gain is not None and gain.is_above_noise and (advantage is None or advantage.is_above_noise):
        return "distil"
    return "fine_tune" if control_gain is not None and control_gain.is_above_noise else "leave"


def _gains(columns: Columns, objective: Objective) -> FloatArray:
    return objective.penalised_gains(gains(columns, objective, split="validation"))


def _take(column: Sequence[Any] | NDArray[Any], places: IntArray) -> Sequence[Any] | NDArray[Any]:
    return column[places] if isinstance(column, np.ndarray) else [column[place] for place in places]


def _best(gains_N: FloatArray, ranks_N: IntArray, places: IntArray) -> int | None:
    return int(places[ties.best(gains_N[places], ranks_N[places])]) if places.size else None


def _compared(
    gains_N: FloatArray, is_control_N: BoolArray, is_finite_N: BoolArray, best: Sequence[int | None]
) -> IntArray:
    """Return the positions of the trials whose gains are drawn in the bootstrap, ascending.

    They are the ``_MAX_COMPARED`` best distillations, the ``_MAX_COMPARED`` best controls, and the trials in ``best``.
    A trial that is much worse than the best trial would be chosen in no draw, so omitting it changes nothing.
    """
    kept = [place for place in best if place is not None]
    for is_kind_N in (is_control_N, ~is_control_N):
        places = np.flatnonzero(is_finite_N & is_kind_N)
        kept += places[np.argsort(-gains_N[places], kind="stable")[:_MAX_COMPARED]].tolist()
    return np.unique(np.array(kept, dtype=np.int64))


def _draw(covariance_CC: FloatArray) -> FloatArray:
    """Return random draws of the noise of all gains, with the given covariance: (B, C)."""
    # All advice uses one seed, so that no difference comes from different draws. Rounding may make the smallest
    # eigenvalues negative.
    values_C, vectors_CC = np.linalg.eigh(covariance_CC)
    noise_BC: FloatArray = _normal(len(values_C)) @ (vectors_CC * np.sqrt(np.maximum(values_C, 0))).T
    return noise_BC


@lru_cache(maxsize=16)
def _normal(num: int) -> FloatArray:
    """Return standard normal draws: (B, num). Pairs often have equally many trials, and then share them."""
    return np.random.default_rng(_SEED).standard_normal((_NUM_DRAWS, num))


def _errors_of_choice(gains_C: FloatArray, noise_BC: FloatArray, is_kind_C: BoolArray) -> FloatArray:
    """Return the error of the choice in each draw: (B,).

    In each draw, the trial with the highest drawn gain is chosen among the trials in ``is_kind_C``. The error is the
    noise that was drawn for this trial.
    """
    noise_BK = noise_BC[:, is_kind_C]
    chosen_B = (gains_C[is_kind_C] + noise_BK).argmax(axis=1)
    errors_B: FloatArray = noise_BK[np.arange(len(noise_BK)), chosen_B]
    return errors_B
