"""The findings of a full sweep in a few sentences, which also report the absence of an effect."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from peerkd.reporting import wording
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.findings import SweepFindings, Treatment
from peerkd.reporting.wording import (
    control,
    default_setting,
    interval,
    magnitude,
    points,
    share_of,
    single_setting,
    tuned_names,
)
from peerkd.results.intervals import Estimate
from peerkd.results.pairs import CHANCE_OF_A_WIN, NUM_STANDARD_ERRORS
from peerkd.wording import plural

TREATMENT_NAMES: Final[Mapping[Treatment, str]] = {
    "chosen": "best setting",
    "single": "one setting for all pairs",
    "default": "untuned default",
    "control": "fine-tuning without a teacher",
}


class Headline(NamedTuple):
    """A finding in one or two sentences, with its topic."""

    topic: str
    text: str


def headline(findings: SweepFindings, facts: ExperimentFacts) -> list[Headline]:
    """Return the findings in words, the most important first. Choices are made on validation, numbers are from test."""
    named = [
        Headline("Gain", _gain(findings, facts)),
        Headline("Tuning", _tuning(findings)),
        Headline("Away from the default", _away(findings)),
        Headline("Teacher or data", _parts(findings)),
        Headline("Position", _position(findings)),
    ]
    if len(findings.transfer_sets) > 1:
        named.append(Headline("Forgetting", _forgetting(findings)))
    if text := diverged(findings):
        named.insert(0, Headline("Diverged", text))
    return named


def diverged(findings: SweepFindings) -> str:
    """Return which trainings diverged and which means lack pairs for this reason. Empty if none diverged."""
    missing = [
        f"{TREATMENT_NAMES[name]} ({plural(num, 'pair')})" for name, num in findings.num_pairs_without.items() if num
    ]
    pairs = f" These means lack pairs, all of whose trainings diverged: {', '.join(missing)}." if missing else ""
    return wording.diverged(findings.divergence) + pairs


def verdict(estimate: Estimate) -> str:
    """Return in words whether the interval of a difference excludes 0."""
    if estimate.is_above_zero:
        return "a gain beyond noise"
    if estimate.is_below_zero:
        return "a loss beyond noise"
    if estimate.low <= 0 <= estimate.high:
        return "not distinguishable from 0"
    return "with too few peers for an interval"


def _gain(findings: SweepFindings, facts: ExperimentFacts) -> str:
    chosen, default = findings.comparison.chosen, findings.comparison.default
    untuned = default_setting(findings.default_transfer_set, findings.default_learning_rate)
    rate = ", learning rate" if findings.has_rates else ""
    return (
        f"With temperature, alpha{rate} and transfer set chosen for each pair, distillation changes the student's "
        f"{findings.scope} accuracy by {points(chosen.value)} points (95 % interval {interval(chosen)}) on average "
        f"over {findings.num_pairs} ordered pairs of {sum(facts.peers_are_finite)} peers: {verdict(chosen)}. The "
        f"untuned default ({untuned}) changes it by {_estimate(default)}: {verdict(default)}."
    )


def _tuning(findings: SweepFindings) -> str:
    comparison = findings.comparison
    ratio = (
        f"The tuned gain is {comparison.ratio.value:.1f} times the default's."
        if comparison.ratio.value is not None
        else f"The ratio of the two gains is not reported: {comparison.ratio.reason}."
    )
    return (
        f"Tuning brings {_estimate(comparison.tuned_over_default)} over the default, "
        f"{verdict(comparison.tuned_over_default)}. {ratio} One setting for all pairs "
        f"({single_setting(findings.single)}) changes accuracy by "
        f"{points(findings.mean_gains['single', findings.scope].value)} points. A setting for each pair brings "
        f"{_estimate(findings.tuned_over_single)} over it, {verdict(findings.tuned_over_single)}."
    )


def _away(findings: SweepFindings) -> str:
    comparison = findings.comparison
    return (
        f"The best {tuned_names(has_rates=findings.has_rates)} differ from the default's for "
        f"{share_of(comparison.share_not_default)} pairs. The chosen setting beats the default by more than "
        f"{NUM_STANDARD_ERRORS:g} paired standard errors for {share_of(comparison.share_wins)}, where chance alone "
        f"would give about {round(CHANCE_OF_A_WIN * comparison.share_wins.num)}."
    )


def _parts(findings: SweepFindings) -> str:
    nothing = (
        f"For {findings.num_pairs_where_nothing_helps} of {findings.num_pairs} pairs, no distillation beats on "
        f"validation both the unchanged student and {control(findings.transfer_sets)}."
    )
    from_data, from_teacher = findings.mean_gain_from_data, findings.mean_gain_from_teacher
    if not from_data.num and findings.num_pairs_without["control"]:
        return f"Every control without a teacher diverged, so the effect of the data alone is unknown. {nothing}"
    if not from_data.num:
        return (
            "No transfer set has labels, so the sweep has no control without a teacher. For "
            f"{findings.num_pairs_where_nothing_helps} of {findings.num_pairs} pairs, no distillation beats the "
            "unchanged student on validation."
        )
    num_without = findings.counts.num_without_labels
    without = f"; {plural(num_without, 'pair')} chose a set without labels, which has no control" if num_without else ""
    return (
        f"The same training without a teacher brings {_estimate(from_data)} of the chosen gain, and the teacher brings "
        f"{_estimate(from_teacher)}, {verdict(from_teacher)} (n = {plural(from_data.num, 'pair')}{without}). "
        "Distillation brings "
        f"{_estimate(findings.tuned_over_control)} over fine-tuning on the best transfer set for fine-tuning, "
        f"{verdict(findings.tuned_over_control)}. {nothing}"
    )


def _position(findings: SweepFindings) -> str:
    right = findings.position.preferred_over_other
    return (
        f"Validation also chooses which of two peers is the student. The chosen position is worth "
        f"{_estimate(right)} over the other one on average over {right.num} pairs of peers, {verdict(right)}."
    )


def _forgetting(findings: SweepFindings) -> str:
    chosen = [change for change in findings.forgetting.changes if change.role == "chosen" and change.forgetting.num]
    if len(chosen) < 2:
        return "Fewer than two transfer sets can be compared, because the distillations on the others diverged."
    least, *_, most = sorted(chosen, key=lambda change: change.forgetting.value)
    return (
        f"Students forget least on transfer set {least.transfer_set} ({magnitude(least.forgetting.value)} points of "
        f"accuracy per class) and most on transfer set {most.transfer_set} ({magnitude(most.forgetting.value)}), each "
        f"with the best settings within the set (n = {least.forgetting.num} pairs)."
    )


def _estimate(estimate: Estimate) -> str:
    return f"{points(estimate.value)} points ({interval(estimate)})"
