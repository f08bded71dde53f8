"""A full sweep's table as a benchmark: what a tuner would have seen, and what its choices would have been worth.

Shape suffixes: Q = ordered pairs, S = settings, E = epochs of a whole trial.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from peerkd.results.arrays import BoolArray, FloatArray, IntArray
from peerkd.results.objective import Objective
from peerkd.tuning.accounting import Account
from peerkd.tuning.protocol import Ask, Earlier, Measurement, Tuner
from peerkd.tuning.scoring import Judge, Reference, Score, reference
from peerkd.tuning.seen import Seen, only_seen, without_forbidden
from peerkd.tuning.space import Space
from peerkd.tuning.sweep_table import TRIALS_NAME, read_sweep, table_path


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Replay:
    """A sweep that was done in full, to be done again by tuners that pay for what they look at."""

    name: str
    space: Space
    gains_QSE: FloatArray
    """On validation after each epoch, as a tuner is told of them: fractions."""

    judge: Judge
    """Has the test gains. Never given to a tuner."""

    is_allowed_QSE: BoolArray | None = None
    """Where a limit on forgetting is kept on validation. None: there is no limit."""

    is_augmented: bool = False
    """Whether a teacher's logits must be computed again for each epoch."""

    @property
    def reference(self) -> Reference:
        """What can be had from its pairs."""
        is_allowed_QS = None if self.is_allowed_QSE is None else self.is_allowed_QSE[:, :, -1]
        return reference(self.space, self.gains_QSE[:, :, -1], self.judge, is_allowed_QS=is_allowed_QS)

    @property
    def earlier(self) -> Earlier:
        """What a tuner of another experiment, or of other pairs, may learn from it."""
        return Earlier(space=self.space, gains_QS=self.gains_QSE[:, :, -1])

    def account(self) -> Account:
        """Return an account on which nothing is charged yet."""
        return Account(self.space, is_augmented=self.is_augmented)

    def answer(self, ask: Ask) -> Seen:
        """Return what a measurement shows."""
        place = ask.pair, ask.setting, ask.num_epochs - 1
        is_allowed = self.is_allowed_QSE is None or bool(self.is_allowed_QSE[place])
        return Seen(float(self.gains_QSE[place]), is_allowed)

    def restricted(self, pairs: Sequence[int] | IntArray) -> "Replay":
        """Return the benchmark of some pairs, by their places; its references and its full cost are theirs alone."""
        places = np.asarray(pairs, dtype=np.int64)
        return Replay(
            name=self.name,
            space=self.space.restricted(places),
            gains_QSE=self.gains_QSE[places],
            judge=self.judge.restricted(places),
            is_allowed_QSE=None if self.is_allowed_QSE is None else self.is_allowed_QSE[places],
            is_augmented=self.is_augmented,
        )

    def pairs_with(self, peers: Sequence[int]) -> IntArray:
        """Return the places of the pairs in which one of the peers is student or teacher."""
        is_with_Q = np.isin(self.space.students_Q, peers) | np.isin(self.space.teachers_Q, peers)
        return np.flatnonzero(is_with_Q).astype(np.int64)

    def held_out(self, pairs: Sequence[int] | IntArray) -> tuple[Earlier, "Replay"]:
        """Return all other pairs as what is known from before, and the benchmark of these."""
        others = np.setdiff1d(np.arange(self.space.num_pairs), pairs)
        return self.restricted(others).earlier, self.restricted(pairs)


def play(
    tuner: Tuner, replay: Replay, budgets: Sequence[float], *, num_forward_samples: int = 0, seconds_so_far: float = 0.0
) -> list[Score]:
    """Let a tuner ask until each budget is spent, and score what it would choose then.

    It gets one answer at a time. The first ask that would overspend ends a budget; with the next larger budget it is
    answered. Under a limit on forgetting, a choice counts only if it was measured and keeps the limit; see ``seen``.

    Args:
        tuner: Fresh, and told nothing of the replay.
        replay: Answers, and judges.
        budgets: Shares of the full sweep's cost, from 0 to 1, ascending.
        num_forward_samples: What the tuner's features took; see ``accounting.feature_forward_samples``.
        seconds_so_far: That it took to build the tuner.

    Raises:
        ValueError: If budgets are no ascending shares.
    """
    check_budgets(budgets)
    account, known = replay.account(), replay.reference
    account.charge_forward(num_forward_samples)
    seconds, scores = seconds_so_far, []
    waiting = None
    seen: dict[tuple[int, int], Seen] = {}
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
            tuner.tell(Measurement(waiting, answer.gain))
            seconds += time.perf_counter() - started
            waiting = None
        started = time.perf_counter()
        choices_Q = tuner.choices()
        seconds += time.perf_counter() - started
        if replay.is_allowed_QSE is not None:
            choices_Q = only_seen(without_forbidden(choices_Q, seen), seen)
        scores.append(
            Score(
                budget=budget,
                spent_share=account.spent_share,
                spent=account.spent,
                gain=replay.judge.mean_gain(choices_Q),
                reference=known,
                num_pairs_tried=account.num_pairs_tried,
                num_pairs_left=int((choices_Q < 0).sum()),
                num_trials=account.num_trials,
                tuner_seconds=seconds,
            )
        )
    return scores


def check_budgets(budgets: Sequence[float]) -> None:
    """Refuse what are no ascending shares.

    Raises:
        ValueError: If there is none, one is below 0 or above 1, or one is not above that before it.
    """
    if not budgets or not all(0 <= budget <= 1 for budget in budgets):
        raise ValueError(f"budget must be at least one share from 0 to 1, got {list(budgets)}.")
    if any(later <= budget for budget, later in pairwise(budgets)):
        raise ValueError(f"budget must be in ascending order and each once, got {list(budgets)}.")


def load_replay(
    path: Path,
    *,
    objective: Objective | None = None,
    default_transfer_set: str | None = None,
    is_augmented: bool = False,
) -> Replay:
    """Read a full sweep's table, and the table of features beside it if there is one.

    Args:
        path: Of the table of trials, or of the folder that holds it as ``trials.parquet``.
        objective: Says whose gains count, and what they may cost. None: global accuracy, whatever it costs.
        default_transfer_set: Of the untuned default. None: the first that the table has, in its order.
        is_augmented: Whether the sweep augmented its views; only costs depend on it.

    Raises:
        ValueError: If this is no table of trials or one without what a replay needs, or a pair lacks a setting.
    """
    path, objective = table_path(path), objective or Objective()
    sweep = read_sweep(path, objective=objective, default_transfer_set=default_transfer_set)
    return Replay(
        name=path.parent.name if path.name == TRIALS_NAME else path.stem,
        space=sweep.space,
        gains_QSE=objective.worth(sweep.validation_gains_QSE),
        judge=Judge(objective.gains(sweep.test_gains_QS)),
        is_allowed_QSE=objective.allows(sweep.validation_gains_QSE) if objective.is_limited else None,
        is_augmented=is_augmented,
    )


def load_earlier(path: Path, *, objective: Objective | None = None, default_transfer_set: str | None = None) -> Earlier:
    """Read a full sweep's table as what a tuner may start from; accuracies by epoch are not needed.

    Raises:
        ValueError: As for ``load_replay``.
    """
    path, objective = table_path(path), objective or Objective()
    sweep = read_sweep(path, objective=objective, default_transfer_set=default_transfer_set, by_epoch=False)
    return Earlier(space=sweep.space, gains_QS=objective.worth(sweep.validation_gains_QSE)[:, :, -1])
