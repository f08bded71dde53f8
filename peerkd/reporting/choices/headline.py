"""The findings of a tuned study in a few sentences."""

from peerkd.reporting.choices.findings import TuningFindings
from peerkd.reporting.headline import Headline
from peerkd.reporting.wording import diverged, interval, points, setting
from peerkd.results.intervals import Estimate


def headline(findings: TuningFindings) -> list[Headline]:
    """Return the findings in words, the most important first."""
    named = [
        Headline("Plan", _plan(findings)),
        Headline("Gain", _gain(findings)),
        Headline("Cost", _cost(findings)),
        Headline("Experience", _experience(findings)),
    ]
    if findings.untried_pairs or findings.untried_settings:
        named.append(Headline("Not tried", _untried(findings)))
    if text := diverged(findings.divergence):
        named.insert(0, Headline("Diverged", text))
    return named


def describe(findings: TuningFindings, place: int) -> str:
    """Return one recommendation of the plan in words."""
    choice = findings.plan[place].choice
    assert choice.transfer_set is not None
    assert choice.temperature is not None
    assert choice.alpha is not None
    # Without a trial, the epoch to stop after is unknown.
    stop = f", for {choice.epochs} epochs" if findings.chooses_epochs and choice.epochs else ""
    return (
        f"peer {choice.student} should learn from peer {choice.teacher} with "
        f"{setting(choice.transfer_set, choice.temperature, choice.alpha, choice.learning_rate)}{stop}"
    )


def _plan(findings: TuningFindings) -> str:
    num_both = len(findings.plan) + findings.num_pairs_unchanged
    if not findings.plan:
        return f"In none of {num_both:,} pairs of peers should one learn from the other: no tried setting helps."
    gain = findings.plan[0].choice.expected_gain
    return (
        f"In {len(findings.plan):,} of {num_both:,} pairs of peers, one should learn from the other. The largest "
        f"expected gain: {describe(findings, 0)}"
        + (f", {points(gain)} points on validation." if gain is not None else ".")
    )


def _gain(findings: TuningFindings) -> str:
    tested, seen = findings.mean_test, findings.mean_validation_of_tested
    text = (
        f"{findings.num_distilled:,} of {findings.num_pairs:,} ordered pairs have a chosen setting. The other students "
        f"should be left unchanged, with a gain of 0. The mean expected gain on validation is "
        f"{_estimate(findings.mean_expected)} (n = {findings.mean_expected.num:,} pairs)."
    )
    if findings.chooses_epochs and tested.num:
        return (
            f"{text} With a stop after their best epoch, the {tested.num:,} choices that were tried gain "
            f"{_estimate(tested)} on test, and {_estimate(seen)} on validation, where they were chosen."
        )
    if not tested.num:
        return f"{text} None of the chosen trials ran to the end, so their test accuracy is unknown."
    return (
        f"{text} The {tested.num:,} chosen trials that ran to the end gain {_estimate(tested)} on test, and "
        f"{_estimate(seen)} on validation, where they were chosen."
    )


def _cost(findings: TuningFindings) -> str:
    cost = findings.cost
    return (
        f"The study ran {cost.num_trials:,} trials, in full or in part, for {100 * cost.spent_share:.2f} % of the cost "
        f"of the full sweep without controls; the budget was {100 * cost.budget_fraction:g} %. It ended because "
        f"{cost.ended}."
    )


def _experience(findings: TuningFindings) -> str:
    if findings.why_no_experience is None:
        return "The tuner started from experience: what full sweeps of digits had taught."
    return f"The tuner started without the experience from full sweeps of digits, because {findings.why_no_experience}."


def _untried(findings: TuningFindings) -> str:
    num = len(findings.untried_pairs)
    parts = []
    if num:
        known = sum(choice.is_distilled for choice in findings.untried_pairs)
        guessed = f"; for {known:,} of them, the gains of other pairs led to a choice" if known else ""
        parts.append(f"No setting was tried for {num:,} of {findings.num_pairs:,} ordered pairs{guessed}.")
    if findings.untried_settings:
        parts.append(f"Settings of the grid that were tried for no pair: {len(findings.untried_settings):,}.")
    return " ".join(parts)


def _estimate(estimate: Estimate) -> str:
    return f"{points(estimate.value)} points ({interval(estimate)})"
