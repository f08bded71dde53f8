"""The decisions of a tuned study: the next iteration, given the results of earlier ones. Nothing is trained here.

All decisions follow from the settings of the study, the results, and the iterations so far. A study that is resumed
with the same results and iterations therefore continues as if it had never stopped.

Shape suffixes: Q = ordered pairs.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.stages.work.tuning.iterations import Iteration, Phase, StudyProgress
from peerkd.stages.work.tuning.outcome import CurvePoint, Predicting, StudyOutcome, where_chosen
from peerkd.study.transfer_sets import TRANSFER_SETS
from peerkd.tuning.accounting import CostLedger
from peerkd.tuning.protocol import Observation, Suggestion, Tuner
from peerkd.tuning.space import NO_SETTING, Space
from peerkd.tuning.validation import ValidationResult, better, only_measured, without_forbidden
from peerkd.wording import plural

FINISH_FRACTION: Final = 0.3
"""The maximum fraction of the budget that is reserved for training the chosen trials to their last epoch, and for
controls on the same data.

The chosen trials must be completed, because a user deploys their students, and because a gain that was only predicted
should be measured. The controls are needed, because without them a gain that comes from the data would be attributed to
the teacher. For example, if there are 60 settings, one whole trial of each pair costs a 60th of the full sweep, or a
third of the default budget. The finish costs less than this, because the search has already trained some of the chosen
trials. The search may spend the part of the reserve that the current choices do not need.
"""

BUDGET_IS_SPENT: Final = "the budget is spent"
NOTHING_IS_SUGGESTED: Final = "the tuner suggests nothing more"

NUM_ITERATIONS: Final = 20
"""The number of iterations of a tuned study if all of its trials run to their last epoch. The number of trials in an
iteration is computed from it."""

MAX_ITERATIONS: Final = 100
"""The approximate limit on the number of iterations.

It is enforced by a minimum cost: an iteration gets more trials until it costs the budget divided by this number. The
number is limited because each iteration leaves files in the workspace and takes time in the tuner.
"""


def suggestions_per_iteration(num_affordable: float) -> int:
    """Return the number of suggestions in an iteration.

    Each iteration is planned while the previous one is still being trained, so the tuner's observations are up to two
    iterations old. A twentieth of the affordable trials keeps this delay below a tenth of the study, whatever its size.
    Smaller iterations would have fewer trials that can be trained side by side, and would cost the tuner more time.

    Args:
        num_affordable: The number of whole trials that the budget suffices for.
    """
    return max(1, round(num_affordable / NUM_ITERATIONS))


class TunedStudy:
    """Decides about the iterations of a tuned study, given the iterations so far and their results."""

    def __init__(
        self,
        space: Space,
        build_tuner: Callable[[], Tuner],
        account: CostLedger,
        *,
        budget_fraction: float,
        is_limited: bool = False,
        chooses_epochs: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Create a study without iterations.

        Args:
            space: The pairs and settings that can be tried.
            build_tuner: A function that builds the tuner. It is called once.
            account: The costs so far, such as the cost of computing the features.
            budget_fraction: The budget as a fraction of the full sweep's cost.
            is_limited: Whether there is a limit on forgetting, so that only a choice that was observed to keep the
                limit is allowed.
            chooses_epochs: Whether the result of a trial is the result after its best epoch. If not, it is the result
                after its last epoch.
            clock: A function that returns seconds, to measure the time that the tuner takes.
        """
        self._chooses_epochs = chooses_epochs
        self.space, self.account, self._is_limited = space, account, is_limited
        self._budget = budget_fraction * account.full
        self._clock = clock
        mean_cost = float(space.num_samples_QS.mean()) * space.num_epochs
        self._suggestions_per_iteration = suggestions_per_iteration(self._budget / mean_cost)
        self._is_searching, self._must_wait = True, False
        self._budget_is_spent = False
        self._deferred: list[Suggestion] = []
        self._spent_after: list[float] = []
        self._results: dict[tuple[int, int], ValidationResult] = {}
        self._control_gains: dict[int, float] = {}
        """The best gain of the fine-tunings of each student, by student. Only transfer sets that do not depend on a
        teacher count."""

        self.progress = StudyProgress()
        self.iterations: list[Iteration] = []
        self.num_observed = 0
        """The number of iterations whose results have been observed. Iterations are observed in their order."""

        self.curve: list[CurvePoint] = []
        self.tuner_seconds = 0.0
        with self._timed():
            self._tuner = build_tuner()
        self._outcome: StudyOutcome | None = None

    @property
    def num_needed(self) -> int:
        """The number of iterations whose results must be observed before the next iteration can be planned.

        During the search, this is the number of iterations so far minus one, because one iteration may be unfinished.
        """
        may_be_behind = self._is_searching and not self._must_wait
        return max(len(self.iterations) - 1, 0) if may_be_behind else len(self.iterations)

    def observe(self, results: Sequence[ValidationResult]) -> None:
        """Add the results of the earliest iteration that has no results yet, in the order of its suggestions."""
        planned = self.iterations[self.num_observed]
        with self._timed():
            for suggestion, result in zip(planned.suggestions, results, strict=True):
                if self.space.control(suggestion.setting) is not None:
                    self._observe_control(suggestion, result)
                    continue
                earlier = self._results.get((suggestion.pair, suggestion.setting))
                if self._chooses_epochs and earlier:
                    result = better(earlier, result)
                self._results[suggestion.pair, suggestion.setting] = result
                self._tuner.tell(Observation(suggestion, result.gain, is_finite=result.is_finite))
        self.num_observed += 1
        self._outcome = None
        # A tuner may take long to compute its choices, so they are not requested after every iteration.
        last_share = self.curve[-1].spent_share if self.curve else 0.0
        if (self._spent_after[planned.number] - last_share) * self.account.full >= self._budget / NUM_ITERATIONS:
            self._add_point()

    def _observe_control(self, suggestion: Suggestion, result: ValidationResult) -> None:
        if self.iterations[self.num_observed].phase == "control":
            student = int(self.space.students_Q[suggestion.pair])
            self._control_gains[student] = max(self._control_gains.get(student, 0.0), result.gain)

    def close(self) -> None:
        """Add the last point to the curve of the choices by cost. All iterations must have been observed."""
        if self.num_observed and (not self.curve or self.curve[-1].iteration < self.num_observed - 1):
            self._add_point()

    def describe_progress(self) -> str:
        """Return a progress line: iterations, trials, pairs and cost so far."""
        num_trials, num_pairs = len(self._results), len({pair for pair, _ in self._results})
        share = self._spent_after[self.num_observed - 1] if self.num_observed else 0.0
        return (
            f"iteration {self.num_observed}: {plural(num_trials, 'trial')} of {plural(num_pairs, 'pair')} for "
            f"{share:.2%} of the full sweep's cost"
        )

    def plan(self, *, seconds: float) -> Iteration | None:
        """Return the next iteration, or None if more results must be observed first (``num_needed`` says how many).

        Args:
            seconds: The duration of the study so far.
        """
        if not self.iterations and (suggestions := self._controls_of_students()):
            return self._new_iteration("control", suggestions, seconds)
        if self._is_searching:
            suggestions = self._search()
            if suggestions:
                return self._new_iteration("search", suggestions, seconds)
            if self._deferred and self.num_observed < len(self.iterations):
                self._must_wait = True
                return None
            self._is_searching = False
            if self.num_needed > self.num_observed:
                return None
        suggestions = self._finish()
        if suggestions:
            return self._new_iteration("finish", suggestions, seconds)
        return self.end(seconds=seconds, reason=BUDGET_IS_SPENT if self._budget_is_spent else NOTHING_IS_SUGGESTED)

    def end(self, *, seconds: float, reason: str) -> Iteration:
        """Return the iteration that marks the end of the study."""
        return self._new_iteration("end", [], seconds, reason=reason)

    def accept(self, planned: Iteration) -> None:
        """Add an iteration that will be trained.

        Usually, this is the iteration that ``plan`` returned. After a restart, it is the next iteration in the
        workspace, which may differ from the one that ``plan`` would return.
        """
        self.iterations.append(planned)
        self._must_wait = False
        for suggestion in planned.suggestions:
            self.account.charge(suggestion)
        self._spent_after.append(self.account.spent_share)
        self.progress.add(planned.suggestions)

    def outcome(self) -> StudyOutcome:
        """Return the choices that follow from all observations."""
        if self._outcome is None:
            self._outcome = self._compute_outcome()
        return self._outcome

    def deviations(self) -> FloatArray:
        """Return the standard deviation of each predicted gain in ``outcome().predicted_Q``, of shape (Q,).

        It is NaN where no gain is predicted.
        """
        chosen_Q = self.outcome().choices_Q
        with self._timed():
            if not isinstance(self._tuner, Predicting):
                return np.full(len(chosen_Q), np.nan)
            return where_chosen(
                self._tuner.deviations(), chosen_Q=chosen_Q, choices_Q=np.asarray(self._tuner.choices())
            )

    def _compute_outcome(self) -> StudyOutcome:
        with self._timed():
            choices_Q = np.asarray(self._tuner.choices())
            predicted_Q = (
                self._tuner.predicted() if isinstance(self._tuner, Predicting) else np.full(len(choices_Q), np.nan)
            )
        wanted_Q = without_forbidden(choices_Q, self._results)
        chosen_Q = only_measured(wanted_Q, self._results) if self._is_limited else wanted_Q
        is_predicted_Q = (wanted_Q == choices_Q) & ~np.isnan(predicted_Q)
        return StudyOutcome(
            wanted_Q=wanted_Q,
            choices_Q=chosen_Q,
            gains_Q=self._gains(chosen_Q),
            epochs_Q=self._epochs(chosen_Q),
            expected_Q=np.where(is_predicted_Q, predicted_Q, self._gains(wanted_Q)),
            predicted_Q=where_chosen(predicted_Q, chosen_Q=chosen_Q, choices_Q=choices_Q),
        )

    def _gains(self, choices_Q: IntArray) -> FloatArray:
        results = [self._results.get(key) for key in enumerate(choices_Q.tolist())]
        return np.array([np.nan if result is None else result.gain for result in results])

    def _epochs(self, choices_Q: IntArray) -> IntArray:
        results = [self._results.get(key) for key in enumerate(choices_Q.tolist())]
        return np.array([0 if result is None else result.num_epochs for result in results], dtype=np.int64)

    def _search(self) -> list[Suggestion]:
        under_way = {
            (suggestion.pair, suggestion.setting)
            for planned in self.iterations[self.num_observed :]
            for suggestion in planned.suggestions
        }
        cost = _IterationCost(self.account, (1 - FINISH_FRACTION) * self._budget)
        suggestions: dict[tuple[int, int], Suggestion] = {}
        deferred, self._deferred = self._deferred, []
        while True:
            num_missing = self._suggestions_per_iteration - len(deferred)
            with self._timed():
                new = self._tuner.ask(num_missing) if num_missing > 0 else []
            for suggestion in (*deferred, *new):
                key = suggestion.pair, suggestion.setting
                if key in self._results and not self._results[key].is_finite:
                    # The trial has diverged since it was suggested, so no state is left to continue from.
                    continue
                if key in under_way or key in suggestions:
                    # The trial continues from a state that is still being trained.
                    self._deferred.append(suggestion)
                elif suggestion.num_epochs > self.progress.epochs(*key):
                    if not cost.add(suggestion):
                        # The reserve is computed only now, because it needs the current choices, which take time.
                        cost.limit = max(cost.limit, self._budget - self._reserve())
                        if not cost.add(suggestion):
                            self._budget_is_spent = True
                            return list(suggestions.values())
                    suggestions[key] = suggestion
            deferred = []
            if not new or self._deferred or cost.total >= self._budget / MAX_ITERATIONS:
                return list(suggestions.values())

    def _controls_of_students(self) -> list[Suggestion]:
        """Return the fine-tunings of each student on transfer sets that do not depend on a teacher.

        Fine-tunings that the budget does not allow are omitted.
        """
        cost = _IterationCost(self.account, (1 - FINISH_FRACTION) * self._budget)
        _, firsts = np.unique(self.space.students_Q, return_index=True)
        suggestions = [
            Suggestion(int(pair), len(self.space.settings) + place, self.space.num_epochs)
            for pair in firsts
            for place, control in enumerate(self.space.controls)
            if not TRANSFER_SETS[control.transfer_set].depends_on_teacher
        ]
        return [suggestion for suggestion in suggestions if cost.add(suggestion)]

    def _controls_of_choice(self, pair: int, setting: int) -> Iterator[Suggestion]:
        """Yield the fine-tuning on the data of a choice, with the same learning rate, if a control is needed.

        A control is needed only if the data of the choice depend on the teacher, because a study begins with the
        fine-tunings on all other data. Even then, no control is needed if the observed gain of the choice is 0 or less,
        or is no higher than the best gain of these earlier fine-tunings.
        """
        result, chosen = self._results.get((pair, setting)), self.space.settings[setting]
        if result and result.gain <= self._control_gains.get(int(self.space.students_Q[pair]), 0.0):
            return
        if TRANSFER_SETS[chosen.transfer_set].depends_on_teacher:
            for place, control in enumerate(self.space.controls):
                if (control.transfer_set, control.setting.learning_rate) == (chosen.transfer_set, chosen.learning_rate):
                    yield Suggestion(pair, len(self.space.settings) + place, self.space.num_epochs)

    def _finish(self) -> list[Suggestion]:
        cost = _IterationCost(self.account, self._budget)
        unfinished = list(self._unfinished())
        suggestions = [suggestion for suggestion in unfinished if cost.add(suggestion)]
        if len(suggestions) < len(unfinished):
            self._budget_is_spent = True
        return suggestions

    def _reserve(self) -> float:
        """Return how much of the budget, in trained samples, the search must leave for completing the chosen trials."""
        most = FINISH_FRACTION * self._budget
        if not self.num_observed:
            return most
        return min(most, sum(self.account.price(suggestion) for suggestion in self._unfinished()))

    def _unfinished(self) -> Iterator[Suggestion]:
        """Yield suggestions to train the chosen trials to their last epoch, each followed by a control if needed."""
        outcome, num_epochs = self.outcome(), self.space.num_epochs
        for pair in self._by_expected_gain(outcome):
            setting = int(outcome.wanted_Q[pair])
            if setting == NO_SETTING:
                continue
            for suggestion in (Suggestion(pair, setting, num_epochs), *self._controls_of_choice(pair, setting)):
                if self.progress.epochs(pair, suggestion.setting) < num_epochs:
                    yield suggestion

    def _by_expected_gain(self, outcome: StudyOutcome) -> list[int]:
        """Return the pairs in descending order of the expected gains of their choices; unknown gains come last."""
        order_Q = np.argsort(-np.nan_to_num(outcome.expected_Q, nan=-np.inf), kind="stable")
        return [int(pair) for pair in order_Q]

    def _new_iteration(
        self, phase: Phase, suggestions: Sequence[Suggestion], seconds: float, *, reason: str = ""
    ) -> Iteration:
        return Iteration(
            number=len(self.iterations), phase=phase, suggestions=tuple(suggestions), seconds=seconds, reason=reason
        )

    def _add_point(self) -> None:
        self.curve.append(self._point(self.iterations[self.num_observed - 1], self.outcome()))

    def _point(self, planned: Iteration, outcome: StudyOutcome) -> CurvePoint:
        is_distilled_Q = outcome.choices_Q != NO_SETTING
        return CurvePoint(
            iteration=planned.number,
            phase=planned.phase,
            spent_share=self._spent_after[planned.number],
            num_trials=len(self._results),
            num_pairs_tried=len({pair for pair, _ in self._results}),
            num_pairs_distilled=int(is_distilled_Q.sum()),
            num_chosen_measured=int((is_distilled_Q & ~np.isnan(outcome.gains_Q)).sum()),
            mean_observed_gain=float(np.nan_to_num(outcome.gains_Q, nan=0.0).mean()),
            mean_predicted_gain=outcome.mean_predicted_gain,
        )

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = self._clock()
        try:
            yield
        finally:
            self.tuner_seconds += self._clock() - started


class _IterationCost:
    """Adds up the cost of an iteration that is being planned.

    If several trials share the logits of a teacher, these are computed once but counted for each trial. The sum is then
    a little too high.
    """

    def __init__(self, account: CostLedger, limit: float) -> None:
        self._account, self.limit, self.total = account, limit, 0.0

    def add(self, suggestion: Suggestion) -> bool:
        """Add the cost of a suggestion if the sum stays within the limit, and return whether it does."""
        price = self._account.price(suggestion)
        if self._account.spent + self.total + price > self.limit:
            return False
        self.total += price
        return True
