"""What a tuned study found, in a few sentences."""

from peerkd.reporting.choices.findings import TuningFindings
from peerkd.reporting.headline import Headline
from peerkd.reporting.wording import diverged, interval, points, setting
from peerkd.results.intervals import Estimate


def headline(findings: TuningFindings) -> list[Headline]:
    """Return the findings in words, most important first."""
    named = [Headline("Plan", _plan(findings)), Headline("Gain", _gain(findings)), Headline("Cost", _cost(findings))]
    if findings.untried_pairs or findings.untried_settings:
        named.append(Headline("Not tried", _untried(findings)))
    if text := diverged(findings.divergence):
        named.insert(0, Headline("Diverged", text))
    return named


def describe(findings: TuningFindings, place: int) -> str:
    """Return one piece of the plan as words."""
    choice = findings.plan[place].choice
    assert choice.transfer_set is not None
    assert choice.temperature is not None
    assert choice.alpha is not None
    # Where no trial says when to stop, it is not said.
    stop = f", for {choice.epochs} epochs" if findings.chooses_epochs and choice.epochs else ""
    return (
        f"peer {choice.student} should learn from peer {choice.teacher} with "
        f"{setting(choice.transfer_set, choice.temperature, choice.alpha, choice.learning_rate)}{stop}"
    )


def _plan(findings: TuningFindings) -> str:
    num_both = len(findings.plan) + findings.num_left_alone
    if not findings.plan:
        return f"For none of {num_both:,} pairs of peers should one learn from the other: nothing that was tried helps."
    gain = findings.plan[0].choice.expected_gain
    return (
        f"For {len(findings.plan):,} of {num_both:,} pairs of peers one should learn from the other. Most is expected "
        f"of this: {describe(findings, 0)}" + (f", {points(gain)} points on validation." if gain is not None else ".")
    )


def _gain(findings: TuningFindings) -> str:
    tested, seen = findings.mean_test, findings.mean_validation_of_tested
    text = (
        f"A setting is chosen for {findings.num_distilled:,} of {findings.num_pairs:,} ordered pairs; the other "
        f"students are to be left as they are, which gains 0. On average {_estimate(findings.mean_expected)} are "
        f"expected on validation (n = {findings.mean_expected.num:,} pairs)."
    )
    if findings.chooses_epochs and tested.num:
        return (
            f"{text} Stopped after their best epoch, the {tested.num:,} choices that were tried gain "
            f"{_estimate(tested)} on test; on validation, which chose them, they seemed to gain {_estimate(seen)}."
        )
    if not tested.num:
        return f"{text} None of the chosen trials was done to its end, so nothing is known of test accuracy."
    return (
        f"{text} The {tested.num:,} chosen trials that were done to their end gain {_estimate(tested)} on test; on "
        f"validation, which chose them, they seemed to gain {_estimate(seen)}."
    )


def _cost(findings: TuningFindings) -> str:
    cost = findings.cost
    return (
        f"{cost.num_trials:,} trials, whole or in part, for {100 * cost.spent_share:.2f} % of what the full sweep "
        f"costs; the budget was {100 * cost.budget_fraction:g} %. The study ended since {cost.ended}."
    )


def _untried(findings: TuningFindings) -> str:
    num = len(findings.untried_pairs)
    parts = []
    if num:
        known = sum(choice.is_distilled for choice in findings.untried_pairs)
        guessed = f"; for {known:,} of them a setting is chosen by what other pairs gained" if known else ""
        parts.append(f"Nothing was tried for {num:,} of {findings.num_pairs:,} ordered pairs{guessed}.")
    if findings.untried_settings:
        parts.append(f"Settings of the grid that were tried for no pair: {len(findings.untried_settings):,}.")
    return " ".join(parts)


def _estimate(estimate: Estimate) -> str:
    return f"{points(estimate.value)} points ({interval(estimate)})"
