"""The cost of trials, in trained samples: a unit that is the same on every machine.

A training sample goes through the network once forward and once backward. The backward pass takes about twice as long
as the forward pass, so a sample that only goes forward costs a third of a trained sample.

A teacher's logits are computed once for all trials that share the teacher and the samples. If views are augmented or
teachers are in train mode, the logits are computed anew in every epoch. Evaluation and pre-training do not count.

Shape suffixes: Q = ordered pairs, P = some of them, S = settings, R = epochs up to which a trial may be trained, U =
units, as in ``peerkd.study.trials``.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.losses.targets import target_of_label
from peerkd.study.transfer_sets import TRANSFER_SETS, grouped_by_samples
from peerkd.tuning.protocol import Suggestion
from peerkd.tuning.space import Space

FORWARDS_PER_TRAINED_SAMPLE: Final = 3
"""The cost of a trained sample, in forward passes. The backward pass costs as much as two forward passes."""


class CostLedger:
    """Adds up the cost of the trials of a study, and knows the cost of the full sweep.

    A full sweep trains every setting on every pair to the last epoch.
    """

    def __init__(self, space: Space, *, is_augmented: bool = False) -> None:
        self._space, self._is_augmented = space, is_augmented
        taught_QS = space.num_taught_samples_QS
        self._num_taught_QS = space.num_samples_QS if taught_QS is None else taught_QS
        self._units_QS, self._firsts_U = _units(space)
        # Costs are counted in forward passes. These are whole numbers, so sums are exact.
        self._spent = 0
        self._full = self._full_forwards()
        self._done_QS = np.zeros(self._units_QS.shape, dtype=np.int64)
        self._taught_U = np.zeros(len(self._firsts_U), dtype=np.int64)

    @property
    def full(self) -> float:
        """The cost of the full sweep without controls, in trained samples."""
        return self._full / FORWARDS_PER_TRAINED_SAMPLE

    @property
    def spent(self) -> float:
        """The cost of everything that was charged so far, in trained samples."""
        return self._spent / FORWARDS_PER_TRAINED_SAMPLE

    @property
    def spent_share(self) -> float:
        """The cost so far as a fraction of the cost of the full sweep."""
        return self._spent / self._full

    @property
    def num_pairs_tried(self) -> int:
        """The number of pairs with at least one trial."""
        return int(self._done_QS.any(axis=1).sum())

    @property
    def num_trials(self) -> int:
        """The number of trials that were started, whether or not they were trained to the last epoch."""
        return int(np.count_nonzero(self._done_QS))

    def price(self, suggestion: Suggestion) -> float:
        """Return the cost of carrying out a suggestion now, in trained samples.

        Raises:
            ValueError: If the trial has already been trained up to the suggested epoch, or the suggested epoch lies
                after the last epoch of a whole trial.
        """
        return self._forwards(suggestion) / FORWARDS_PER_TRAINED_SAMPLE

    def prices(self, pairs_P: Sequence[int] | IntArray, num_epochs_R: IntArray) -> FloatArray:
        """Return the costs of training the trials of some pairs from now up to given epochs, of shape (P, R, S).

        There is a cost for each pair, each number of epochs and each setting. It is the cost that ``price`` returns.
        For a trial that has already been trained for so many epochs, the value is 0 or less, and no error is raised.

        Args:
            pairs_P: The indices of the pairs.
            num_epochs_R: The numbers of epochs up to which to train.
        """
        num_passes_R1 = num_epochs_R[:, None] if self._is_augmented else np.ones((1, 1), dtype=np.int64)
        num_new_passes_PRS = np.maximum(num_passes_R1 - self._taught_U[self._units_QS[pairs_P]][:, None], 0)
        num_epochs_left_PRS = num_epochs_R[:, None] - self._done_QS[pairs_P][:, None]
        num_samples_P1S = self._space.num_samples_QS[pairs_P][:, None]
        taught_shares_P1S = self._num_taught_QS[pairs_P][:, None] / num_samples_P1S
        prices_PRS: FloatArray = num_samples_P1S * (
            num_epochs_left_PRS + taught_shares_P1S * num_new_passes_PRS / FORWARDS_PER_TRAINED_SAMPLE
        )
        return prices_PRS

    def fits(self, suggestion: Suggestion, budget: float) -> bool:
        """Return whether a suggestion fits into a budget, which is a fraction of the full sweep's cost."""
        return self._spent + self._forwards(suggestion) <= budget * self._full

    def charge(self, suggestion: Suggestion) -> None:
        """Add the cost of a suggestion, which may be a control, to the cost so far.

        Raises:
            ValueError: If the trial has already been trained up to the suggested epoch, or the suggested epoch lies
                after the last epoch of a whole trial.
        """
        self._spent += self._forwards(suggestion)
        if self._space.control(suggestion.setting) is not None:
            return
        self._done_QS[suggestion.pair, suggestion.setting] = suggestion.num_epochs
        unit = self._units_QS[suggestion.pair, suggestion.setting]
        self._taught_U[unit] = max(self._taught_U[unit], self._num_passes(suggestion.num_epochs))

    def charge_forward(self, num_samples: int) -> None:
        """Add the cost of samples that only go forward through a network, as when features of pairs are computed."""
        self._spent += num_samples

    def _forwards(self, suggestion: Suggestion) -> int:
        if self._space.control(suggestion.setting) is not None:
            num_samples = self._space.num_samples(suggestion.pair, suggestion.setting)
            return FORWARDS_PER_TRAINED_SAMPLE * num_samples * suggestion.num_epochs
        done = int(self._done_QS[suggestion.pair, suggestion.setting])
        if not done < suggestion.num_epochs <= self._space.num_epochs:
            raise ValueError(
                f"num_epochs must be above {done}, which is done, and at most {self._space.num_epochs}, "
                f"got {suggestion.num_epochs} for pair {suggestion.pair} and setting {suggestion.setting}."
            )
        taught = int(self._taught_U[self._units_QS[suggestion.pair, suggestion.setting]])
        num_new_passes = max(self._num_passes(suggestion.num_epochs) - taught, 0)
        num_samples = int(self._space.num_samples_QS[suggestion.pair, suggestion.setting])
        num_taught = int(self._num_taught_QS[suggestion.pair, suggestion.setting])
        num_new_epochs = suggestion.num_epochs - done
        return FORWARDS_PER_TRAINED_SAMPLE * num_samples * num_new_epochs + num_taught * num_new_passes

    def _num_passes(self, num_epochs: int) -> int:
        """Return how often the teacher's logits are computed for a trial of ``num_epochs`` epochs."""
        return num_epochs if self._is_augmented else 1

    def _full_forwards(self) -> int:
        samples_QS, num_epochs = self._space.num_samples_QS, self._space.num_epochs
        teacher_forwards_U = self._num_taught_QS.ravel()[self._firsts_U]
        num_teacher_forwards = int(teacher_forwards_U.sum()) * self._num_passes(num_epochs)
        return FORWARDS_PER_TRAINED_SAMPLE * num_epochs * int(samples_QS.sum()) + num_teacher_forwards


def feature_forward_samples(space: Space, *, max_samples_per_peer: int = 256) -> int:
    """Return the number of forward passes for the features of pairs.

    Every peer predicts its own samples and those of each of its partners.

    Accuracies and logits on the validation set exist before any distillation, so they cost nothing.

    Args:
        space: The space. The result is 0 if its features do not include the sizes of the peers' training sets.
        max_samples_per_peer: The maximum number of training samples of each peer that are used.
    """
    name = "num_student_samples"
    if name not in space.feature_names:
        return 0
    sizes_Q = space.features_QF[:, space.feature_names.index(name)]
    _, firsts, nums_partners = np.unique(space.students_Q, return_index=True, return_counts=True)
    return int((np.minimum(sizes_Q[firsts], max_samples_per_peer) * (1 + nums_partners)).sum())


def _units(space: Space) -> tuple[IntArray, IntArray]:
    """Number the units of all trials of a space.

    Returns:
        The unit of each trial, of shape (Q, S), and the first trial of each unit, of shape (U,). The trials are counted
            by pairs and then by settings.
    """
    base = space.num_peers + 1
    groups = grouped_by_samples(setting.transfer_set for setting in space.settings)
    group_of = {name: place for place, names in enumerate(groups) for name in names}
    units_QS = np.empty((space.num_pairs, len(space.settings)), dtype=np.int64)
    for place, setting in enumerate(space.settings):
        name = setting.transfer_set
        # Where some targets need predictions of the student's old self, their settings are units of their own.
        needs_student = setting.target is not None and target_of_label(setting.target).needs_student
        students_Q = space.students_Q + 1 if TRANSFER_SETS[name].depends_on_student else 0
        units_QS[:, place] = (space.teachers_Q * base + students_Q) * 2 * len(groups)
        units_QS[:, place] += 2 * group_of[name] + needs_student
    _, firsts_U, numbers = np.unique(units_QS, return_index=True, return_inverse=True)
    return numbers.reshape(units_QS.shape), firsts_U
