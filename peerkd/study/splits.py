"""The sets on which accuracies are measured, and the accuracies by which a study can choose."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

SPLITS: Final = ("validation", "test")
"""The names of the two splits for evaluation: settings are chosen on ``validation``, and results are reported on
``test``."""

SCOPES: Final = ("global", "own")
"""The names of the two class distributions that an evaluation set can have: the distribution of the whole data set
(``global``), and the distribution of the student's own data (``own``)."""

Metric = Literal["global_accuracy", "own_accuracy"]
"""The accuracy by which a setting is chosen, if the choice uses only global accuracy or only own accuracy."""

OWN_WEIGHTS: Final[Mapping[Metric, float]] = {"global_accuracy": 0.0, "own_accuracy": 1.0}
"""The weight of own accuracy in an objective that uses only global accuracy or only own accuracy."""


class NumSamples(NamedTuple):
    """The numbers of samples in a global evaluation set and in a student's own evaluation set."""

    global_set: int
    own_set: int

    class_counts: tuple[int, ...] | None = None
    """The number of samples of each class in the global set. None if the proportions of the classes were not given when
    the samples were drawn, or are not known."""


def have_equal_proportions(first_K: Sequence[int], second_K: Sequence[int]) -> bool:
    """Return whether two sets have the same proportions of classes, up to one sample of each class.

    Args:
        first_K: The number of samples of each of K classes in one set, which is not empty.
        second_K: The number of samples of each class in the other set, which is not empty either.
    """
    num_first, num_second = sum(first_K), sum(second_K)
    most = 1 / num_first + 1 / num_second
    return all(abs(one / num_first - two / num_second) <= most for one, two in zip(first_K, second_K, strict=True))


class EvaluationSets(NamedTuple):
    """The sizes of the evaluation sets of one student."""

    validation: NumSamples
    test: NumSamples
