"""The prediction of the teacher alone, as in Hinton et al. 2015."""

from typing import Final

from peerkd.losses.targets.target import PairTarget

TARGET: Final = PairTarget(
    name="teacher",
    title="the teacher",
    weigh=None,
    meaning="The student imitates the teacher alone, and may forget what only the student knew.",
    formula="p_t",
    tex=r"p_t",
    source="Hinton et al. 2015, arXiv:1503.02531, section 2",
)
