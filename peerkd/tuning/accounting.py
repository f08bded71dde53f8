"""What measurements cost, counted in samples that are trained on, whatever machine does it.

A sample that goes forward only counts as a third: the pass back, which it is spared, takes twice as long. A teacher's
logits are computed once for each transfer set that it teaches on, for all trials that share them; where views are
augmented, or teachers are in train mode, once for each epoch. Measuring accuracy is not counted, nor what came before
any distillation.

Shape suffixes: Q = ordered pairs, P = some of them, S = settings, R = epochs that a trial may be done to, U = what one
teacher teaches on, each once.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.study.transfer_sets import TRANSFER_SETS
from peerkd.tuning.protocol import Ask
from peerkd.tuning.space import Space

FORWARDS_PER_TRAINED_SAMPLE: Final = 3
"""A training sample goes forward once and back once, which takes as long as two forward passes."""


class Account:
    """What has been spent, out of what trying every setting on every pair to the end would cost."""

    def __init__(self, space: Space, *, is_augmented: bool = False) -> None:
        self._space, self._is_augmented = space, is_augmented
        self._units_QS, self._firsts_U = _units(space)
        # In forward passes: whole numbers, so that sums are exact.
        self._spent = 0
        self._full = self._full_forwards()
        self._done_QS = np.zeros(self._units_QS.shape, dtype=np.int64)
        self._taught_U = np.zeros(len(self._firsts_U), dtype=np.int64)

    @property
    def full(self) -> float:
        """The cost of the full sweep, controls apart, in trained samples."""
        return self._full / FORWARDS_PER_TRAINED_SAMPLE

    @property
    def spent(self) -> float:
        """The cost of all that was charged so far, in trained samples."""
        return self._spent / FORWARDS_PER_TRAINED_SAMPLE

    @property
    def spent_share(self) -> float:
        """What was spent as a share of the full sweep's cost."""
        return self._spent / self._full

    @property
    def num_pairs_tried(self) -> int:
        """How many pairs were measured at all."""
        return int(self._done_QS.any(axis=1).sum())

    @property
    def num_trials(self) -> int:
        """How many trials were begun, whether they were done to the end or not."""
        return int(np.count_nonzero(self._done_QS))

    def price(self, ask: Ask) -> float:
        """Return what a measurement would cost now, in trained samples.

        Raises:
            ValueError: If the trial was done as far as that already, or a whole trial is shorter.
        """
        return self._forwards(ask) / FORWARDS_PER_TRAINED_SAMPLE

    def prices(self, pairs_P: Sequence[int] | IntArray, num_epochs_R: IntArray) -> FloatArray:
        """Return what each setting of some pairs would cost now, done to each of some epochs: (P, R, S).

        As ``price`` does, but unchecked: nothing or less where as much was done already.
        """
        num_passes_R1 = num_epochs_R[:, None] if self._is_augmented else np.ones((1, 1), dtype=np.int64)
        num_new_passes_PRS = np.maximum(num_passes_R1 - self._taught_U[self._units_QS[pairs_P]][:, None], 0)
        num_epochs_left_PRS = num_epochs_R[:, None] - self._done_QS[pairs_P][:, None]
        prices_PRS: FloatArray = self._space.num_samples_QS[pairs_P][:, None] * (
            num_epochs_left_PRS + num_new_passes_PRS / FORWARDS_PER_TRAINED_SAMPLE
        )
        return prices_PRS

    def fits(self, ask: Ask, budget: float) -> bool:
        """Return whether a measurement leaves what is spent within a budget: a share of the full sweep's cost."""
        return self._spent + self._forwards(ask) <= budget * self._full

    def charge(self, ask: Ask) -> None:
        """Count a measurement; raises as ``price`` does."""
        self._spent += self._forwards(ask)
        self._done_QS[ask.pair, ask.setting] = ask.num_epochs
        unit = self._units_QS[ask.pair, ask.setting]
        self._taught_U[unit] = max(self._taught_U[unit], self._num_passes(ask.num_epochs))

    def charge_forward(self, num_samples: int) -> None:
        """Count samples that go forward only, as for features of pairs."""
        self._spent += num_samples

    def _forwards(self, ask: Ask) -> int:
        done = int(self._done_QS[ask.pair, ask.setting])
        if not done < ask.num_epochs <= self._space.num_epochs:
            raise ValueError(
                f"num_epochs must be above {done}, which is done, and at most {self._space.num_epochs}, "
                f"got {ask.num_epochs} for pair {ask.pair} and setting {ask.setting}."
            )
        taught = int(self._taught_U[self._units_QS[ask.pair, ask.setting]])
        num_new_passes = max(self._num_passes(ask.num_epochs) - taught, 0)
        num_samples = int(self._space.num_samples_QS[ask.pair, ask.setting])
        return num_samples * (FORWARDS_PER_TRAINED_SAMPLE * (ask.num_epochs - done) + num_new_passes)

    def _num_passes(self, num_epochs: int) -> int:
        """Return how often a teacher must have seen what its students were trained on for so many epochs."""
        return num_epochs if self._is_augmented else 1

    def _full_forwards(self) -> int:
        samples_QS, num_epochs = self._space.num_samples_QS, self._space.num_epochs
        num_taught = int(samples_QS.ravel()[self._firsts_U].sum()) * self._num_passes(num_epochs)
        return FORWARDS_PER_TRAINED_SAMPLE * num_epochs * int(samples_QS.sum()) + num_taught


def feature_forward_samples(space: Space, *, max_samples_per_peer: int = 256) -> int:
    """Return how many samples go forward for the features of pairs: every peer on samples of every peer's.

    Accuracy and logits on the validation set are there from before any distillation, so they cost nothing.

    Args:
        space: With the sizes of the peers' training sets among its features; without them, nothing is counted.
        max_samples_per_peer: How many of a peer's training samples are looked at, at most.
    """
    name = "num_student_samples"
    if name not in space.feature_names:
        return 0
    sizes_Q = space.features_QF[:, space.feature_names.index(name)]
    students, firsts = np.unique(space.students_Q, return_index=True)
    num_looked_at = int(np.minimum(sizes_Q[firsts], max_samples_per_peer).sum())
    return len(students) * num_looked_at


def _units(space: Space) -> tuple[IntArray, IntArray]:
    """Return a number (Q, S) that is the same where one teacher's logits on the same samples are needed.

    The numbers are from 0 on; with them, where each is first (U,), in the order of pairs and then settings.
    """
    base = space.num_peers + 1
    facts_S = [TRANSFER_SETS[setting.transfer_set] for setting in space.settings]
    # Kinds that differ only in their loss have the same samples.
    sources = list(dict.fromkeys(facts.sources for facts in facts_S))
    units_QS = np.empty((space.num_pairs, len(space.settings)), dtype=np.int64)
    for place, facts in enumerate(facts_S):
        students_Q = space.students_Q + 1 if facts.depends_on_student else 0
        units_QS[:, place] = (space.teachers_Q * base + students_Q) * len(sources) + sources.index(facts.sources)
    _, firsts_U, numbers = np.unique(units_QS, return_index=True, return_inverse=True)
    return numbers.reshape(units_QS.shape), firsts_U
