"""The findings of a tuned study as numbers: who should teach whom, with which setting, and the expected gain.

Shape suffixes: P = peers (row: student, column: teacher).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from peerkd.arrays import FloatArray
from peerkd.config.experiment import ExperimentConfig
from peerkd.losses.pairs import sets_temperature
from peerkd.results.divergence import Divergence
from peerkd.results.front import FrontPoint
from peerkd.results.grid_edges import MAX_CHANCE, ChosenValues, Dimension, GridEdge, grid_edges
from peerkd.results.intervals import Estimate, mean_over_pairs
from peerkd.study.defaults import DIMENSIONS
from peerkd.study.student_choice import StudentDecision
from peerkd.study.transfer_sets import TRANSFER_SETS


@dataclass(frozen=True, kw_only=True, slots=True)
class PairChoice:
    """The decision for one ordered pair. Gains are fractions of accuracy. A gain is None if it is unknown."""

    student: int
    teacher: int
    decision: StudentDecision
    transfer_set: str | None
    temperature: float | None
    alpha: float | None
    learning_rate: float | None
    loss: str | None
    target: str | None
    """The label of the target. The learning rate, the loss and the target are None if no setting was chosen, or if the
    experiment tries only one."""

    num_trials: int
    epochs: int
    validation_gain: float | None
    predicted_gain: float | None
    predicted_gain_deviation: float | None
    corrected_gain: float | None
    """The validation gain without the part that is due to the choice of the best of many noisy trials. It is the gain
    to expect on the test set. ``corrected_gain_low`` and ``corrected_gain_high`` are the bounds of its interval."""

    corrected_gain_low: float | None
    corrected_gain_high: float | None
    advantage: float | None
    """The gain minus the gain of the best control, as expected on the test set. ``advantage_low`` and
    ``advantage_high`` are the bounds of its interval."""

    advantage_low: float | None
    advantage_high: float | None
    test_gain: float | None

    @property
    def is_distilled(self) -> bool:
        """Whether the student should learn from the teacher."""
        return self.decision == "distil"

    @property
    def has_setting(self) -> bool:
        """Whether a setting was chosen, even if the advice is not to distil."""
        return self.transfer_set is not None

    @property
    def expected_gain(self) -> float | None:
        """The expected gain over the unchanged student: 0 if the student should not learn from the teacher."""
        if not self.is_distilled:
            return 0.0
        if self.corrected_gain is not None:
            return self.corrected_gain
        return self.validation_gain if self.predicted_gain is None else self.predicted_gain


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """The recommendation for two peers: which of them should learn from the other."""

    choice: PairChoice
    """The choice for the better of the two ordered pairs."""

    other_gain: float | None
    """The expected gain if the two peers exchange their positions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyCost:
    """The cost of a study, from its manifest."""

    budget_fraction: float
    spent_share: float
    spent_samples: float
    full_sweep_samples: float
    num_trials: int
    num_iterations: int
    worker_seconds: float
    seconds: float
    tuner_seconds: float
    ended: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TuningFindings:
    """All findings of a tuned study."""

    choices: Sequence[PairChoice]
    """The choice for every ordered pair."""

    curve: Sequence[Mapping[str, Any]]
    """The rows of the curve of the study, as ``peerkd.results.choices.CURVE_SCHEMA`` describes them."""

    plan: Sequence[Advice]
    """The recommendations to distil, the largest expected gain first."""

    num_pairs_unchanged: int
    """The number of pairs of peers in which neither should learn from the other."""

    expected_PP: FloatArray
    test_PP: FloatArray
    """The test gain of each pair's chosen setting. NaN for a pair that has no test gain."""

    num_trials_PP: FloatArray
    mean_expected: Estimate
    mean_test: Estimate
    mean_validation_of_tested: Estimate
    """The mean validation gain of the pairs that have a test gain. It is optimistic, because settings were chosen by
    their validation gains."""

    front: Sequence[FrontPoint]
    """The choices for several weights of own and global accuracy, and the mean gains of these choices."""

    untried_settings: Sequence[str]
    """The settings that no pair tried, in words."""

    num_settings: int
    """The number of settings that each pair can try."""

    chooses_epochs: bool
    """Whether a choice includes the epoch to stop after. If not, only trials that ran to the end have test gains."""

    why_no_experience: str | None
    """Why the tuner started without the shipped experience, as a clause; None if the tuner used the experience."""

    cost: StudyCost
    divergence: Divergence
    """The trainings that diverged. They are never chosen, and no mean includes them."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names among ``learning_rate``, ``loss`` and ``target`` for which some choice has a value."""
        return tuple(name for name in DIMENSIONS if any(getattr(choice, name) is not None for choice in self.choices))

    @property
    def num_pairs(self) -> int:
        """The number of ordered pairs."""
        return len(self.choices)

    @property
    def num_distilled(self) -> int:
        """The number of ordered pairs whose student should learn from the teacher."""
        return sum(choice.is_distilled for choice in self.choices)

    def edges(self, config: ExperimentConfig) -> list[GridEdge]:
        """Return the smallest and largest values of the grid that more pairs choose than chance explains.

        There are none if no pair should distil.
        """
        if not self.num_distilled:
            return []
        sweep, usual = config.sweep, config.distill.loss.kind
        tried: Mapping[Dimension, Sequence[float]] = {
            "temperatures": sorted(sweep.temperatures),
            "alphas": sorted(sweep.alphas),
            "learning_rates": sorted(sweep.learning_rates),
        }
        chosen = [_chosen(choice, tried, recipe_loss=usual) for choice in self.choices if choice.has_setting]
        return grid_edges(chosen, tried, max_chance=MAX_CHANCE)

    def count(self, decision: StudentDecision) -> int:
        """Return the number of ordered pairs with the given decision."""
        return sum(choice.decision == decision for choice in self.choices)

    @property
    def untried_pairs(self) -> list[PairChoice]:
        """The choices of the pairs for which no trial was run."""
        return [choice for choice in self.choices if not choice.num_trials]


_FIELDS: Final = (
    *("student", "teacher", "decision", "transfer_set", "temperature", "alpha", *DIMENSIONS, "num_trials", "epochs"),
    *("validation_gain", "predicted_gain", "predicted_gain_deviation", "test_gain"),
    *("corrected_gain", "corrected_gain_low", "corrected_gain_high", "advantage", "advantage_low", "advantage_high"),
)


def compute_findings(
    choices: pa.Table,
    curve: pa.Table,
    *,
    front: Sequence[FrontPoint],
    untried_settings: Sequence[str],
    num_settings: int,
    chooses_epochs: bool = False,
    why_no_experience: str | None,
    cost: StudyCost,
    divergence: Divergence,
    num_peers: int,
) -> TuningFindings:
    """Return the findings of a study from its tables.

    Args:
        choices: The table of choices.
        curve: The curve of the study: a table of its cost and its choices after each of about twenty iterations.
        front: The choices for each weight of own accuracy.
        untried_settings: The settings that no pair tried, in words.
        num_settings: The number of settings that each pair can try.
        chooses_epochs: Whether a choice also names the epoch to stop after.
        why_no_experience: Why the tuner started without the shipped experience, as a clause; None if it was used.
        cost: The cost of the study.
        divergence: The trainings that diverged.
        num_peers: Number of all peers, including those that diverged.

    Raises:
        ValueError: If every trial diverged.
    """
    if divergence.num_trials and divergence.num_trials_diverged == divergence.num_trials:
        raise ValueError(
            f"At least one trial must end in finite numbers, but all {divergence.num_trials:,} diverged. "
            "Lower distill.learning_rate or sweep.learning_rates."
        )
    made = [PairChoice(**{name: row[name] for name in _FIELDS}) for row in choices.to_pylist()]
    expected_PP, test_PP, seen_PP, num_trials_PP = (np.full((num_peers, num_peers), np.nan) for _ in range(4))
    for choice in made:
        place = choice.student, choice.teacher
        expected_PP[place] = _number(choice.expected_gain)
        test_PP[place] = _number(choice.test_gain)
        seen_PP[place] = _number(choice.validation_gain) if choice.test_gain is not None else np.nan
        num_trials_PP[place] = choice.num_trials
    plan, num_pairs_unchanged = _plan(made)
    return TuningFindings(
        choices=made,
        curve=curve.to_pylist(),
        plan=plan,
        num_pairs_unchanged=num_pairs_unchanged,
        expected_PP=expected_PP,
        test_PP=test_PP,
        num_trials_PP=num_trials_PP,
        mean_expected=mean_over_pairs(expected_PP),
        mean_test=mean_over_pairs(test_PP),
        mean_validation_of_tested=mean_over_pairs(seen_PP),
        front=front,
        untried_settings=untried_settings,
        num_settings=num_settings,
        chooses_epochs=chooses_epochs,
        why_no_experience=why_no_experience,
        cost=cost,
        divergence=divergence,
    )


def _plan(choices: Sequence[PairChoice]) -> tuple[list[Advice], int]:
    of_pair = {(choice.student, choice.teacher): choice for choice in choices}
    plan = []
    num_pairs_unchanged = 0
    for (student, teacher), choice in of_pair.items():
        if student < teacher:
            # If both positions have the same expected gain, the peer with the lower number is the student.
            worse, better = sorted((of_pair[teacher, student], choice), key=_promise)
            if better.is_distilled:
                plan.append(Advice(choice=better, other_gain=worse.expected_gain))
            else:
                num_pairs_unchanged += 1
    return sorted(plan, key=lambda advice: -_promise(advice.choice)[1]), num_pairs_unchanged


def _promise(choice: PairChoice) -> tuple[bool, float]:
    gain = choice.expected_gain
    return choice.is_distilled, -np.inf if gain is None else gain


def _chosen(choice: PairChoice, tried: Mapping[Dimension, Sequence[float]], *, recipe_loss: str) -> ChosenValues:
    """Return the values of a choice that the search for edges of the grid compares with the grid.

    The result omits the temperature if the loss sets its temperature itself, and alpha if the transfer set has no
    labels. It also omits a value outside the grid. Only the untuned default can have such a value.

    Args:
        choice: A choice with a setting.
        tried: The values of the grid in each dimension.
        recipe_loss: The name of the experiment's loss. It applies to a choice whose loss is None.
    """
    values: dict[Dimension, float | None] = {"learning_rates": choice.learning_rate}
    if not sets_temperature(choice.loss or recipe_loss):
        values["temperatures"] = choice.temperature
    if TRANSFER_SETS[choice.transfer_set or ""].uses_labels:
        values["alphas"] = choice.alpha
    in_grid = {name: value for name, value in values.items() if value in tried[name]}
    return ChosenValues(in_grid, loss=choice.loss, target=choice.target)


def _number(value: float | None) -> float:
    return np.nan if value is None else value
