"""The prediction of the student's old self alone, as a control."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from peerkd.losses.targets.target import PairTarget, Prediction

if TYPE_CHECKING:
    from torch import Tensor


def weigh(predictions: Sequence[Prediction]) -> "list[Tensor]":
    """Return the weights of the teacher and of the student's old self: 0 and 1."""
    *teachers, student = predictions
    return [*(each.counts_K.new_zeros(()) for each in teachers), student.counts_K.new_ones(())]


TARGET: Final = PairTarget(
    name="student",
    title="the student's old self",
    weigh=weigh,
    meaning=(
        "The student imitates what it predicted before. This target uses no knowledge of the teacher, so it shows "
        "what the transfer set and the soft target contribute by themselves."
    ),
    formula="p_s",
    tex=r"p_s",
    source="Furlanello et al. 2018, arXiv:1805.04770, which calls such students born-again networks",
    needs_teacher=False,
)
