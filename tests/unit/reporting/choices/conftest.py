"""A tuned study of three peers, written by hand."""

import pytest

from peerkd.reporting.choices.findings import StudyCost, compute_findings
from peerkd.results import choices as tables
from peerkd.results.divergence import Divergence
from peerkd.results.front import FrontPoint

LEAVE = dict.fromkeys(("transfer_set", "temperature", "alpha", "distillation_weight"))
SETTING = {"transfer_set": "both", "temperature": 4.0, "alpha": 0.9, "distillation_weight": 0.9}
COST = StudyCost(
    budget_fraction=0.05,
    spent_share=0.0487,
    spent_samples=48_700.0,
    full_sweep_samples=1_000_000.0,
    num_trials=9,
    num_iterations=2,
    worker_seconds=12.5,
    seconds=8.0,
    tuner_seconds=0.5,
    ended="the budget is spent",
)

PREDICTED = {
    "corrected_gain": 0.03,
    "corrected_gain_low": -0.01,
    "corrected_gain_high": 0.07,
    "advantage": 0.02,
    "advantage_low": -0.01,
    "advantage_high": 0.05,
}
"""The predictions of a trial that ran to its end."""

NOTHING_DIVERGED = Divergence(peers=(), num_pairs_left_out=0, num_distillations=0, num_controls=0, num_trials=9)


def row(student, teacher, *, setting=None, trials=0, epochs=0, seen=None, predicted=None, test=None):
    return {
        "student": student,
        "teacher": teacher,
        "decision": "leave" if setting is None else "distil",
        **(setting or LEAVE),
        "num_trials": trials,
        "epochs": epochs,
        "validation_gain": seen,
        "predicted_gain": predicted,
        "predicted_gain_deviation": None if predicted is None else 0.011,
        "test_gain": test,
        **(PREDICTED if test is not None and setting else {}),
    }


ROWS = (
    row(0, 1, setting=SETTING, trials=3, epochs=20, seen=0.05, predicted=0.04, test=0.03),
    row(0, 2, predicted=0.0),
    row(1, 0, setting={**SETTING, "transfer_set": "teacher"}, trials=2, epochs=5, seen=0.07, predicted=0.02),
    row(1, 2, setting=SETTING, predicted=0.06),
    row(2, 0, trials=4, predicted=0.0),
    row(2, 1, predicted=0.0),
)


def point(number, share, observed, predicted):
    return {
        "iteration": number,
        "phase": "search",
        "spent_share": share,
        "num_trials": 4 + 5 * number,
        "num_pairs_tried": 2,
        "num_pairs_distilled": 3,
        "num_chosen_measured": 2,
        "mean_observed_gain": observed,
        "mean_predicted_gain": predicted,
    }


def front_point(weight, validation, test, *, num=3, is_of_study=False):
    """Return a point of the front with global and own gain on each split."""
    names = [f"{split}_{scope}_gain" for split in ("validation", "test") for scope in ("global", "own")]
    gains = dict(zip(names, (*validation, *test), strict=True))
    return FrontPoint(own_weight=weight, is_of_study=is_of_study, num_distilled=num, **gains)


FRONT = (
    front_point(0.0, (0.04, -0.02), (0.03, -0.03), is_of_study=True),
    front_point(0.5, (0.03, 0.01), (0.02, 0.0)),
    front_point(1.0, (0.0, 0.02), (-0.01, 0.01), num=2),
)
CURVE = (point(0, 0.02, 0.01, 0.015), point(1, 0.0487, 0.02, 0.02))


@pytest.fixture(scope="session")
def conclude():
    """Return a function that computes the findings from rows and points."""

    def of(
        rows=ROWS,
        curve=CURVE,
        untried=("transfer set student, T=1, alpha=0.5",),
        why_no_experience=None,
        chooses_epochs=False,
        divergence=NOTHING_DIVERGED,
    ):
        return compute_findings(
            tables.assemble(rows, tables.CHOICES),
            tables.assemble(curve, tables.CURVE),
            front=FRONT,
            untried_settings=untried,
            num_settings=12,
            chooses_epochs=chooses_epochs,
            why_no_experience=why_no_experience,
            cost=COST,
            divergence=divergence,
            num_peers=1 + max(row["student"] for row in rows),
        )

    return of


@pytest.fixture(scope="session")
def concluded(conclude):
    return conclude()
