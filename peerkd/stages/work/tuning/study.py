"""A tuned study as decisions: what the next round is, given what was measured in the rounds before. It does nothing.

All that it decides follows from its settings, from the measurements, and from the rounds that are told to be the
truth; so a study that is taken up again, and told the same, goes on as if it had not stopped.

Shape suffixes: Q = ordered pairs.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, runtime_checkable

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.stages.work.tuning.rounds import Phase, Progress, Round
from peerkd.tuning.accounting import CostLedger
from peerkd.tuning.protocol import Observation, Suggestion, Tuner
from peerkd.tuning.space import NO_SETTING, Space
from peerkd.tuning.validation import ValidationResult, better, only_measured, without_forbidden

FINISH_FRACTION: Final = 0.2
"""Of the budget, the most that is kept for doing the chosen trials to their end: a user deploys the student of a whole
trial, and a choice that was only predicted is worth checking. One whole trial of each pair costs a 60th of a sweep of
60 settings, which is a third of the default budget; but some of the chosen trials have been done for the search. What
the present choices do not need of this, the search may have."""

NUM_ROUNDS: Final = 20
"""That the search would have if all its trials were whole ones; see ``round_size``."""

MAX_ROUNDS: Final = 100
"""About: a round costs at least this part of the budget, however short its trials are. Each leaves files to be looked
through, and is some work for the tuner."""


@runtime_checkable
class Predicting(Protocol):
    """A tuner that says what it expects of its choices."""

    def predicted(self) -> FloatArray:
        """Return the gain on validation (Q,) that each of ``choices`` will bring; 0 where the student is left."""
        ...

    def deviations(self) -> FloatArray:
        """Return the standard deviation (Q,) of each of ``predicted``; more work than that."""
        ...


class CurvePoint(NamedTuple):
    """What the choices were after a round."""

    round: int
    phase: Phase
    spent_share: float
    num_trials: int
    num_pairs_tried: int
    num_pairs_distilled: int
    """For which a setting was chosen."""

    num_chosen_measured: int
    """Of those, how many had their chosen setting measured."""

    mean_observed_gain: float
    """Over all pairs; a choice that was not measured, and one to leave a student as it is, count 0."""

    mean_predicted_gain: float | None
    """Over all pairs, where the tuner predicts."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Outcome:
    """The choices, with what was seen and what is expected of them."""

    wanted_Q: IntArray
    """What the tuner chooses, without what was seen to break a limit on forgetting."""

    choices_Q: IntArray
    """What is chosen. Under a limit, a setting that was wanted and never measured is not: nobody saw it keep it."""

    gains_Q: FloatArray
    """Observed on validation, after ``epochs_Q``; NaN where the choice was not tried."""

    epochs_Q: IntArray
    """That were done of the choice, or to stop after where that is chosen; 0 where it was not tried."""

    promised_Q: FloatArray
    """What is expected of what is wanted: as the tuner predicts it, or else as it was seen; NaN where neither is."""

    predicted_Q: FloatArray
    """NaN where the tuner does not predict, or chose something else."""


def round_size(num_affordable: float) -> int:
    """Return how many measurements to ask for at once.

    Each round is planned while the one before is still being done, so a tuner is behind by up to two rounds. A
    twentieth of what can be afforded keeps that below a tenth of the study, whatever its size; smaller rounds would
    have fewer trials in common that can be trained side by side, and more of the tuner's own time.

    Args:
        num_affordable: Whole trials that the budget would pay for.
    """
    return max(1, round(num_affordable / NUM_ROUNDS))


class Study:
    """Rounds so far, and what follows from them."""

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
        """Begin.

        Args:
            space: What can be tried.
            build_tuner: Called once.
            account: With what was spent before.
            budget_fraction: Of the full sweep's cost.
            is_limited: Whether a choice must have been measured, and have kept within a limit on forgetting.
            chooses_epochs: Whether a trial is worth what it was at its best, after whichever epoch.
            clock: For the tuner's own time.
        """
        self._chooses_epochs = chooses_epochs
        self.space, self.account, self._is_limited = space, account, is_limited
        self._budget = budget_fraction * account.full
        self._clock = clock
        mean_cost = float(space.num_samples_QS.mean()) * space.num_epochs
        self._round_size = round_size(self._budget / mean_cost)
        self._is_searching, self._must_wait = True, False
        self._put_off: list[Suggestion] = []
        self._spent_after: list[float] = []
        self._seen: dict[tuple[int, int], ValidationResult] = {}
        self.progress = Progress()
        self.rounds: list[Round] = []
        self.num_told = 0
        """Rounds whose measurements are known, the first ones."""

        self.curve: list[CurvePoint] = []
        self.tuner_seconds = 0.0
        with self._timed():
            self._tuner = build_tuner()
        self._outcome: Outcome | None = None

    @property
    def num_needed(self) -> int:
        """Rounds that must have been told before the next one can be planned: while it searches, all but the last."""
        may_be_behind = self._is_searching and not self._must_wait
        return max(len(self.rounds) - 1, 0) if may_be_behind else len(self.rounds)

    def tell(self, seen: Sequence[ValidationResult]) -> None:
        """Take in what validation shows of the next round, in the order of its asks: of the epochs done in it."""
        made = self.rounds[self.num_told]
        with self._timed():
            for ask, shown in zip(made.asks, seen, strict=True):
                earlier = self._seen.get((ask.pair, ask.setting))
                if self._chooses_epochs and earlier:
                    shown = better(earlier, shown)
                self._seen[ask.pair, ask.setting] = shown
                self._tuner.tell(Observation(ask, shown.gain, is_finite=shown.is_finite))
        self.num_told += 1
        self._outcome = None
        # A tuner may think long about its choices, so they are asked for now and then, not after every round.
        last_share = self.curve[-1].spent_share if self.curve else 0.0
        if (self._spent_after[made.number] - last_share) * self.account.full >= self._budget / NUM_ROUNDS:
            self._add_point()

    def close(self) -> None:
        """Have the curve end with the last round, when all were told."""
        if self.num_told and (not self.curve or self.curve[-1].round < self.num_told - 1):
            self._add_point()

    def how_far(self) -> str:
        """Return in words what is known so far."""
        num_pairs = len({pair for pair, _ in self._seen})
        share = self._spent_after[self.num_told - 1] if self.num_told else 0.0
        return (
            f"round {self.num_told}: {len(self._seen):,} trials of {num_pairs:,} pairs for {share:.2%} of the full "
            "sweep's cost"
        )

    def plan(self, *, seconds: float) -> Round | None:
        """Return the next round by all that was told, or None if more must be told first: see ``num_needed``.

        Args:
            seconds: Of the study so far.
        """
        if self._is_searching:
            asks = self._search()
            if asks:
                return self._round("search", asks, seconds)
            if self._put_off and self.num_told < len(self.rounds):
                self._must_wait = True
                return None
            self._is_searching = False
            if self.num_needed > self.num_told:
                return None
        asks = self._finish()
        if asks:
            return self._round("finish", asks, seconds)
        return self.end(seconds=seconds, reason="the budget is spent or nothing more is wanted")

    def end(self, *, seconds: float, reason: str) -> Round:
        """Return what says that there is no further round."""
        return self._round("end", [], seconds, reason=reason)

    def accept(self, made: Round) -> None:
        """Take a round for what will be done, whoever planned it."""
        self.rounds.append(made)
        self._must_wait = False
        for ask in made.asks:
            self.account.charge(ask)
        self._spent_after.append(self.account.spent_share)
        self.progress.add(made.asks)

    def outcome(self) -> Outcome:
        """Return what is chosen by all that was told."""
        if self._outcome is None:
            self._outcome = self._ask_for_choices()
        return self._outcome

    def deviations(self) -> FloatArray:
        """Return the standard deviation (Q,) of each of the outcome's ``predicted_Q``; NaN where that is."""
        made_Q = self.outcome().choices_Q
        with self._timed():
            if not isinstance(self._tuner, Predicting):
                return np.full(len(made_Q), np.nan)
            return _of_the_made(self._tuner.deviations(), made_Q=made_Q, choices_Q=np.asarray(self._tuner.choices()))

    def _ask_for_choices(self) -> Outcome:
        with self._timed():
            choices_Q = np.asarray(self._tuner.choices())
            predicted_Q = (
                self._tuner.predicted() if isinstance(self._tuner, Predicting) else np.full(len(choices_Q), np.nan)
            )
        wanted_Q = without_forbidden(choices_Q, self._seen)
        made_Q = only_measured(wanted_Q, self._seen) if self._is_limited else wanted_Q
        is_predicted_Q = (wanted_Q == choices_Q) & ~np.isnan(predicted_Q)
        return Outcome(
            wanted_Q=wanted_Q,
            choices_Q=made_Q,
            gains_Q=self._gains(made_Q),
            epochs_Q=self._epochs(made_Q),
            promised_Q=np.where(is_predicted_Q, predicted_Q, self._gains(wanted_Q)),
            predicted_Q=_of_the_made(predicted_Q, made_Q=made_Q, choices_Q=choices_Q),
        )

    def _gains(self, choices_Q: IntArray) -> FloatArray:
        seen = [self._seen.get(key) for key in enumerate(choices_Q.tolist())]
        return np.array([np.nan if shown is None else shown.gain for shown in seen])

    def _epochs(self, choices_Q: IntArray) -> IntArray:
        seen = [self._seen.get(key) for key in enumerate(choices_Q.tolist())]
        return np.array([0 if shown is None else shown.num_epochs for shown in seen], dtype=np.int64)

    def _search(self) -> list[Suggestion]:
        under_way = {(ask.pair, ask.setting) for made in self.rounds[self.num_told :] for ask in made.asks}
        tab = _Tab(self.account, (1 - FINISH_FRACTION) * self._budget)
        asks: dict[tuple[int, int], Suggestion] = {}
        wanted, self._put_off = self._put_off, []
        while True:
            num_missing = self._round_size - len(wanted)
            with self._timed():
                news = self._tuner.ask(num_missing) if num_missing > 0 else []
            for ask in (*wanted, *news):
                key = ask.pair, ask.setting
                if key in self._seen and not self._seen[key].is_finite:
                    # It has diverged since it was asked for: there is nothing to go on from.
                    continue
                if key in under_way or key in asks:
                    # It goes on from what others are still at.
                    self._put_off.append(ask)
                elif ask.num_epochs > self.progress.epochs(*key):
                    if not tab.take(ask):
                        # Only now, since the choices must be known for it.
                        tab.limit = max(tab.limit, self._budget - self._reserve())
                        if not tab.take(ask):
                            return list(asks.values())
                    asks[key] = ask
            wanted = []
            if not news or self._put_off or tab.total >= self._budget / MAX_ROUNDS:
                return list(asks.values())

    def _finish(self) -> list[Suggestion]:
        tab = _Tab(self.account, self._budget)
        return [ask for ask in self._unfinished() if tab.take(ask)]

    def _reserve(self) -> float:
        """Return what the search must leave, in trained samples."""
        most = FINISH_FRACTION * self._budget
        if not self.num_told:
            return most
        return min(most, sum(self.account.price(ask) for ask in self._unfinished()))

    def _unfinished(self) -> Iterator[Suggestion]:
        """Yield what would do the chosen trials to their end."""
        outcome, num_epochs = self.outcome(), self.space.num_epochs
        for pair in self._by_promise(outcome):
            setting = int(outcome.wanted_Q[pair])
            if setting != NO_SETTING and self.progress.epochs(pair, setting) < num_epochs:
                yield Suggestion(pair, setting, num_epochs)

    def _by_promise(self, outcome: Outcome) -> list[int]:
        """Return the pairs, those first whose choice is expected to bring most; what was measured counts before."""
        order_Q = np.argsort(-np.nan_to_num(outcome.promised_Q, nan=-np.inf), kind="stable")
        return [int(pair) for pair in order_Q]

    def _round(self, phase: Phase, asks: Sequence[Suggestion], seconds: float, *, reason: str = "") -> Round:
        return Round(number=len(self.rounds), phase=phase, asks=tuple(asks), seconds=seconds, reason=reason)

    def _add_point(self) -> None:
        self.curve.append(self._point(self.rounds[self.num_told - 1], self.outcome()))

    def _point(self, made: Round, outcome: Outcome) -> CurvePoint:
        is_distilled_Q = outcome.choices_Q != NO_SETTING
        return CurvePoint(
            round=made.number,
            phase=made.phase,
            spent_share=self._spent_after[made.number],
            num_trials=len(self._seen),
            num_pairs_tried=len({pair for pair, _ in self._seen}),
            num_pairs_distilled=int(is_distilled_Q.sum()),
            num_chosen_measured=int((is_distilled_Q & ~np.isnan(outcome.gains_Q)).sum()),
            mean_observed_gain=float(np.nan_to_num(outcome.gains_Q, nan=0.0).mean()),
            mean_predicted_gain=_mean_predicted(outcome),
        )

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = self._clock()
        try:
            yield
        finally:
            self.tuner_seconds += self._clock() - started


def _of_the_made(values_Q: FloatArray, *, made_Q: IntArray, choices_Q: IntArray) -> FloatArray:
    """Return what the tuner says of its choices where they were made; to leave a student otherwise is no prediction."""
    other_Q = np.where(made_Q == NO_SETTING, 0.0 * values_Q, np.nan)
    return np.where(made_Q == choices_Q, values_Q, other_Q)


def _mean_predicted(outcome: Outcome) -> float | None:
    """Return the mean over all pairs, a choice that took the place of a forbidden one counting what was seen of it."""
    if np.isnan(outcome.predicted_Q).all():
        return None
    return float(np.where(np.isnan(outcome.predicted_Q), outcome.gains_Q, outcome.predicted_Q).mean())


class _Tab:
    """What a round will cost: a little more than it does, where its trials share a teacher's logits."""

    def __init__(self, account: CostLedger, limit: float) -> None:
        self._account, self.limit, self.total = account, limit, 0.0

    def take(self, ask: Suggestion) -> bool:
        """Add a measurement if all that is spent stays within the limit, in trained samples; return whether it does."""
        price = self._account.price(ask)
        if self._account.spent + self.total + price > self.limit:
            return False
        self.total += price
        return True
