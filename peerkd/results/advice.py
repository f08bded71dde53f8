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

Pairs with equally many trials are computed together, as a group of arrays with the same shape.

Shape suffixes: N = trials of one student, G = groups of trials, each of one student, C = trials of a group that may be
the best one, B = draws.
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
from peerkd.results.schema import CORRECT_BITS, IS_FINITE, TARGET
from peerkd.results.validation_noise import gain_covariances, packed_bits
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

NUM_DRAWS: Final = 400
_SEED: Final = 0
MAX_COMPARED: Final = 256
"""The maximum number of distillations, and the maximum number of controls, whose gains are drawn in the bootstrap. The
trials with the highest gains are taken."""


class Prediction(NamedTuple):
    """The value that a gain, or a difference of two gains, is expected to have on other samples, as a fraction."""

    value: float
    """The value on the validation set, minus the optimism of the choice."""

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


class GroupPredictions(NamedTuple):
    """A prediction for each group, as arrays of shape (G,). NaN for a group that has no prediction.

    ``Prediction`` describes the fields.
    """

    value: FloatArray
    deviation: FloatArray
    test_deviation: FloatArray

    @property
    def interval(self) -> tuple[FloatArray, FloatArray]:
        """The lower and the upper bounds of ``Prediction.interval``."""
        half_G = _NORMAL_QUANTILE * np.hypot(self.deviation, self.test_deviation)
        return self.value - half_G, self.value + half_G

    @property
    def is_above_noise(self) -> BoolArray:
        """Whether each value is above 0 by more than its noise. False for a group that has no prediction."""
        return ties.is_above(self.value, NUM_DEVIATIONS * self.deviation)

    def of(self, group: int) -> Prediction | None:
        """Return the prediction for one group, or None if there is none."""
        values = (float(each_G[group]) for each_G in self)
        return None if np.isnan(self.value[group]) else Prediction(*values)


class GroupAdvice(NamedTuple):
    """The advice for each group. NaN stands for a missing prediction. ``StudentAdvice`` describes the fields."""

    decision: NDArray[np.str_]
    """A ``StudentDecision`` for each group, of shape (G,)."""

    gain: GroupPredictions
    control_gain: GroupPredictions
    advantage: GroupPredictions


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
    gains_N, is_control_N = judged_gains(columns, objective), controls_among(columns)
    is_finite_N = np.isfinite(gains_N)
    best = [
        _best(gains_N, ranks_N, np.flatnonzero(is_finite_N & is_kind_N)) for is_kind_N in (~is_control_N, is_control_N)
    ]
    if distillation is not None:
        best[0] = distillation
    places_C = _compared(gains_N, is_control_N, is_finite_N, best)
    distilled, control = (None if place is None else np.searchsorted(places_C, [place]) for place in best)
    measured = {name: _one_group(name, _take(columns[name], places_C)) for name in validation_noise.COLUMNS}
    advice = advise_groups(
        measured,
        objective,
        sets,
        gains_GC=gains_N[places_C][None],
        is_control_C=is_control_N[places_C],
        distilled_G=distilled,
        control_G=control,
    )
    (decision,) = advice.decision.tolist()
    return StudentAdvice(
        decision=decision,
        distillation=best[0],
        control=best[1],
        gain=advice.gain.of(0),
        control_gain=advice.control_gain.of(0),
        advantage=advice.advantage.of(0),
    )


def judged_gains(columns: Columns, objective: Objective) -> FloatArray:
    """Return the validation gain of each trial, by which trials are chosen, of shape (N,).

    The gain is -inf for a trial that diverged, and it is lowered for a trial that breaks the limit on forgetting.
    """
    gains_N = objective.penalised_gains(gains(columns, objective, split="validation"))
    return np.where(np.asarray(columns[IS_FINITE], dtype=np.bool_), gains_N, -np.inf)


def controls_among(columns: Columns) -> BoolArray:
    """Return whether each trial is a control, as an array of shape (N,)."""
    return np.array(are_controls(columns["distillation_weight"], columns[TARGET]), dtype=np.bool_)


def advise_groups(
    columns_GC: validation_noise.Columns,
    objective: Objective,
    sets: EvaluationSets,
    *,
    gains_GC: FloatArray,
    is_control_C: BoolArray,
    distilled_G: IntArray | None,
    control_G: IntArray | None,
) -> GroupAdvice:
    """Return the advice for several groups of trials, each of one student.

    Args:
        columns_GC: The values of ``validation_noise.COLUMNS`` for trials that did not diverge, by name of the column.
        objective: The objective of the choice.
        sets: The sizes of the evaluation sets, which are the same for all students.
        gains_GC: The result of ``judged_gains`` for these trials.
        is_control_C: Whether a trial is a control, which is the same in all groups.
        distilled_G: The position of each group's best distillation among its trials. None: there are no distillations.
        control_G: The position of each group's best control. None: there are no controls.
    """
    num_groups, num_compared = gains_GC.shape
    missing = GroupPredictions(*np.full((3, num_groups), np.nan))
    if num_compared == 0:
        return GroupAdvice(decide(missing, missing, missing), missing, missing, missing)
    on_validation_GCC, on_test_GCC = gain_covariances(
        columns_GC, objective, validation=sets.validation, wanted=(sets.validation, sets.test)
    )
    noise_GBC, groups = _draw(on_validation_GCC), np.arange(num_groups)
    places = {False: distilled_G, True: control_G}
    errors = {
        is_control: _errors_of_choice(gains_GC, noise_GBC, is_control_C == is_control)
        for is_control, place_G in places.items()
        if place_G is not None
    }

    def predict(value_G: FloatArray, error_GB: FloatArray, test_variance_G: FloatArray) -> GroupPredictions:
        return GroupPredictions(
            value=value_G - error_GB.mean(axis=-1),
            deviation=error_GB.std(axis=-1),
            test_deviation=np.sqrt(np.maximum(test_variance_G, 0)),
        )

    gain, control_gain = (
        missing
        if place_G is None
        else predict(gains_GC[groups, place_G], errors[is_control], on_test_GCC[groups, place_G, place_G])
        for is_control, place_G in places.items()
    )
    advantage = missing
    if distilled_G is not None and control_G is not None:
        # Var(x - y) = (Var(x) - Cov(y, x)) - (Cov(x, y) - Var(y)).
        difference_GC = on_test_GCC[groups, distilled_G] - on_test_GCC[groups, control_G]
        advantage = predict(
            gains_GC[groups, distilled_G] - gains_GC[groups, control_G],
            errors[False] - errors[True],
            difference_GC[groups, distilled_G] - difference_GC[groups, control_G],
        )
    return GroupAdvice(decide(gain, control_gain, advantage), gain, control_gain, advantage)


def decide(gain: GroupPredictions, control_gain: GroupPredictions, advantage: GroupPredictions) -> NDArray[np.str_]:
    """Return the decision for each group that follows from its predicted gains.

    The decision is to distil if ``gain`` and ``advantage`` are above their noise; a missing ``advantage`` is ignored.
    Otherwise it is to fine-tune if ``control_gain`` is above its noise. Otherwise the student stays unchanged.

    Args:
        gain: The gain of the best distillation over the unchanged student, where there is a distillation.
        control_gain: The gain of the best training without a teacher over the unchanged student, where there is such a
            training.
        advantage: ``gain`` minus ``control_gain``, where there are both.
    """
    is_distilled_G = gain.is_above_noise & (np.isnan(advantage.value) | advantage.is_above_noise)
    return np.where(is_distilled_G, "distil", np.where(control_gain.is_above_noise, "fine_tune", "leave"))


def _one_group(name: str, values_C: Sequence[Any] | NDArray[Any]) -> NDArray[Any] | None:
    """Return a column of one student as an array with a first axis for groups, which has one group."""
    if name != CORRECT_BITS["validation"]:
        return np.asarray(values_C, dtype=np.float64)[None]
    bytes_C = packed_bits(values_C)
    return None if bytes_C is None else bytes_C[None]


def _take(column: Sequence[Any] | NDArray[Any], places: IntArray) -> Sequence[Any] | NDArray[Any]:
    return column[places] if isinstance(column, np.ndarray) else [column[place] for place in places]


def _best(gains_N: FloatArray, ranks_N: IntArray, places: IntArray) -> int | None:
    return int(places[ties.best(gains_N[places], ranks_N[places])]) if places.size else None


def _compared(
    gains_N: FloatArray, is_control_N: BoolArray, is_finite_N: BoolArray, best: Sequence[int | None]
) -> IntArray:
    """Return the positions of the trials whose gains are drawn in the bootstrap, ascending.

    They are the ``MAX_COMPARED`` best distillations, the ``MAX_COMPARED`` best controls, and the trials in ``best``.
    A trial that is much worse than the best trial would be chosen in no draw, so omitting it changes nothing.
    """
    kept = [place for place in best if place is not None]
    for is_kind_N in (is_control_N, ~is_control_N):
        places = np.flatnonzero(is_finite_N & is_kind_N)
        kept += places[np.argsort(-gains_N[places], kind="stable")[:MAX_COMPARED]].tolist()
    return np.unique(np.array(kept, dtype=np.int64))


def _draw(covariance_GCC: FloatArray) -> FloatArray:
    """Return random draws of the noise of all gains with the given covariances, of shape (G, B, C)."""
    # All advice uses one seed, so that no difference comes from different draws. Rounding may make the smallest
    # eigenvalues negative.
    values_GC, vectors_GCC = np.linalg.eigh(covariance_GCC)
    factors_GCC = vectors_GCC * np.sqrt(np.maximum(values_GC, 0))[:, None, :]
    noise_GBC: FloatArray = _normal(values_GC.shape[-1]) @ factors_GCC.swapaxes(-1, -2)
    return noise_GBC


@lru_cache(maxsize=16)
def _normal(num: int) -> FloatArray:
    """Return standard normal draws, of shape (B, num), shifted so that their mean is 0.

    They are kept, because many pairs have equally many trials.
    """
    draws_BC: FloatArray = np.random.default_rng(_SEED).standard_normal((NUM_DRAWS, num))
    # With the mean that 400 draws happen to have, a single trial would owe a part of its gain to a choice that nobody
    # made. With mean 0 its optimism is 0, and no optimism is negative: the highest drawn gain is in each draw at least
    # the drawn gain of the best trial, whose mean is the observed gain.
    draws_BC -= draws_BC.mean(axis=0)
    return draws_BC


def _errors_of_choice(gains_GC: FloatArray, noise_GBC: FloatArray, is_kind_C: BoolArray) -> FloatArray:
    """Return the error of the choice in each draw, of shape (G, B).

    In each draw, the trial with the highest drawn gain is chosen among the trials in ``is_kind_C``. The error is the
    noise that was drawn for this trial.
    """
    noise_GBK = noise_GBC[:, :, is_kind_C]
    chosen_GB1 = (gains_GC[:, None, is_kind_C] + noise_GBK).argmax(axis=-1, keepdims=True)
    errors_GB: FloatArray = np.take_along_axis(noise_GBK, chosen_GB1, axis=-1)[..., 0]
    return errors_GB
