"""The best trainings without a teacher in words: fine-tuning, or imitation of the student's old self."""

from collections.abc import Iterable
from typing import Final

from peerkd.arrays import IntArray
from peerkd.results.pair_rows import NO_ROW
from peerkd.study.transfer_sets import names_without_labels
from peerkd.wording import plural

UNCHANGED: Final = "the unchanged student, the only control because no training without a teacher has a result,"
"""Words for the control with which distillations are compared, if no pair has a result of a training without a
teacher."""


def has_results(control_PP: IntArray) -> bool:
    """Return whether any pair has a result of a training without a teacher.

    ``control_PP`` contains the row number of the best training without a teacher of each pair, or ``NO_ROW`` for a pair
    that has no such training.
    """
    return bool((control_PP != NO_ROW).any())


def control_name(num_imitations: int) -> str:
    """Return a name for the best controls of all pairs. It mentions fine-tuning only if all of them are fine-tuning.

    Args:
        num_imitations: The number of pairs whose best control imitates the student's old self.
    """
    return "best training without a teacher" if num_imitations else "fine-tuning without a teacher"


def kinds_of_controls(num_imitations: int, num_controls: int) -> str:
    """Return a sentence on how many of the best controls imitate the student's old self. Empty if none does."""
    if not num_imitations:
        return ""
    return (
        f"The best training without a teacher is an imitation of the student's old self for {num_imitations:,} of "
        f"{plural(num_controls, 'pair')}, and fine-tuning for {num_controls - num_imitations:,}."
    )


def control(transfer_sets: Iterable[str], *, num_imitations: int = 0) -> str:
    """Return in words the control with which a pair's choice is compared. The text is empty if no control exists.

    Args:
        transfer_sets: The transfer sets of the experiment.
        num_imitations: The number of pairs whose best control imitates the student's old self.
    """
    if num_imitations:
        return "its best training without a teacher"
    names = tuple(transfer_sets)
    without = names_without_labels(names)
    if len(without) == len(names):
        return ""
    suffix = " with labels" if without else ""
    return f"its fine-tuning without a teacher on the best transfer set{suffix}"
