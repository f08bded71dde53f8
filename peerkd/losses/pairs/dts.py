"""Dynamic temperature scheduler (DTS): T falls along a cosine, and more slowly while the student is far behind.

The rule follows the code of the paper's first author, github.com/Sibgat-Ul/DATS_enhanced, commit bb7fbf03e149, with its
option ``adjust_temperature``. We could not compare it with the equations of the paper.
"""

import math
from typing import Final

from peerkd.losses.pairs.kl import kl
from peerkd.losses.pairs.loss import PairLoss, Parameter
from peerkd.losses.pairs.temperature_rule import State, StepFacts, TemperatureRule

_MOMENTUM: Final = 0.9
_SCALE_NEAR_1: Final = 1.35
"""The result of ``scale`` for a gap between 1 and 2, for which ``gap / (gap - 1)`` would be above 2."""


def start(*, initial_temperature: float, lowest_temperature: float, highest_temperature: float) -> State:
    """Return the state before the first step, which is the first T."""
    return (initial_temperature,)


def temperature(
    state: State, *, initial_temperature: float, lowest_temperature: float, highest_temperature: float
) -> float:
    """Return T, which is the whole state."""
    return state[0]


def next_state(
    state: State,
    facts: StepFacts,
    *,
    initial_temperature: float,
    lowest_temperature: float,
    highest_temperature: float,
) -> State:
    """Return the temperature after a step, ``0.9 T + 0.1 goal``, where T is the temperature before the step.

    ``goal = initial_temperature * (1 + cos(pi * progress)) / 2 * scale(gap)``, limited to the lowest and the highest
    temperature. progress is the share of the training that has been done, so the goal falls along half a cosine. gap is
    the mean cross entropy of the student on the batch minus that of the teacher. ``scale`` raises the goal while the
    gap is above 1.
    """
    cosine = (1 + math.cos(math.pi * facts.progress)) / 2
    goal = initial_temperature * cosine * scale(facts.cross_entropy_gap)
    goal = min(max(goal, lowest_temperature), highest_temperature)
    return (_MOMENTUM * state[0] + (1 - _MOMENTUM) * goal,)


def scale(gap: float) -> float:
    """Return the factor by which the goal of T is multiplied: 1 up to a gap of 1, and more above.

    The gap is the student's cross entropy minus the teacher's. The author's code computes s = d / (d + 1), where d is
    -gap, so s = gap / (gap - 1). The factor is 1 if s is at most 1, 1.35 if s is above 2, and s otherwise. s is above 1
    if and only if the gap is above 1. It is above 2 if and only if the gap is between 1 and 2.

    The factor is therefore 1 for gaps up to 1, 1.35 for gaps between 1 and 2, and ``gap / (gap - 1)`` from 2 on.
    """
    if gap <= 1:
        return 1.0
    return _SCALE_NEAR_1 if gap < 2 else gap / (gap - 1)


def check(*, initial_temperature: float, lowest_temperature: float, highest_temperature: float) -> None:
    """Raise a ``ValueError`` if the first temperature is not within the bounds."""
    if not lowest_temperature <= initial_temperature <= highest_temperature:
        raise ValueError(
            f"initial_temperature must be from lowest_temperature {lowest_temperature:g} to highest_temperature "
            f"{highest_temperature:g}, got {initial_temperature:g}."
        )


LOSS: Final = PairLoss(
    name="dts",
    title="KL divergence with dynamic temperature",
    per_sample=kl,
    meaning="D is the KL divergence at a temperature that falls during the training: soft distributions come first, "
    "sharp ones later. T falls more slowly while the cross entropy of the student is larger than that of the teacher "
    "by more than 1.",
    formula="KL(p || q)",
    tex=r"\mathrm{KL}(p \Vert q) = \sum_k p_k \log \frac{p_k}{q_k}",
    source="Islam et al. 2025, arXiv:2511.13767, as in the code of its first author",
    parameters=(
        Parameter(
            "initial_temperature",
            4.0,
            "T in the first step. The value towards which T moves falls from this temperature along a cosine.",
            above=0,
            at_most=100,
        ),
        Parameter(
            "lowest_temperature", 2.0, "The lower bound of the value towards which T moves.", above=0, at_most=100
        ),
        Parameter(
            "highest_temperature", 4.0, "The upper bound of the value towards which T moves.", above=0, at_most=100
        ),
    ),
    temperature_rule=TemperatureRule(
        start=start,
        temperature=temperature,
        next_state=next_state,
        formula="T = 0.9 T + 0.1 goal after each step, with goal = initial_temperature * (1 + cos(pi * progress)) / 2 "
        "* scale, limited to lowest_temperature and highest_temperature; scale = 1 for gaps up to 1, 1.35 for gaps "
        "between 1 and 2, else gap / (gap - 1), where the gap is the student's cross entropy minus the teacher's",
        tex=r"T \leftarrow 0.9 \, T + 0.1 \, \mathrm{clamp}\Big(T_{\mathrm{initial}} \, \tfrac{1}{2} \big(1 + \cos "
        r"(\pi \, \mathrm{progress})\big) \, c(g), T_{\mathrm{lowest}}, T_{\mathrm{highest}}\Big), \qquad g = "
        r"\mathrm{CE}(y, s) - \mathrm{CE}(y, t), \qquad c(g) = \begin{cases} 1 & g \le 1 \\ 1.35 & 1 < g < 2 \\ "
        r"\frac{g}{g - 1} & g \ge 2 \end{cases}",
        needs_gap=True,
    ),
    check=check,
)
