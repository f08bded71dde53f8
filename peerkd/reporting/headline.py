"""The findings of a full sweep in a few sentences. They also say where no effect was found."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from peerkd.reporting import wording
from peerkd.reporting.controls import UNCHANGED, control, has_results, kinds_of_controls
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.findings import SweepFindings, Treatment
from peerkd.reporting.verdict import count_who_learns, pairs_that_differ
from peerkd.reporting.wording import (
    BOTH_CONTROLS,
    NO_INTERVALS,
    added_values,
    at_edges,
    default_setting,
    interval,
    magnitude,
    points,
    points_with_interval,
    prediction,
    share_of,
    single_setting,
    tuned_names,
)
from peerkd.results.intervals import Estimate
from peerkd.results.pairs import CHANCE_OF_A_WIN, NUM_STANDARD_ERRORS
from peerkd.results.without_tuning import WithoutTuning
from peerkd.wording import called, plural

TREATMENT_NAMES: Final[Mapping[Treatment, str]] = {
    "chosen": "best setting",
    "single": "one setting for all pairs",
    "default": "untuned default",
    "control": "training without a teacher",
}


class Headline(NamedTuple):
    """A finding in one or two sentences, with its topic."""

    topic: str
    text: str


def headline(findings: SweepFindings, facts: ExperimentFacts) -> list[Headline]:
    """Return the findings in words, the most important first. All numbers are from the test set."""
    named = [
        Headline("Who learns from whom", _advice(findings, facts)),
        Headline("Gain", _gain(findings, facts)),
        Headline("Tuning", _tuning(findings)),
        Headline("Away from the default", _away(findings)),
        Headline("Teacher or data", _parts(findings)),
        Headline("Position", _position(findings)),
    ]
    if findings.without_tuning is not None:
        named.insert(3, Headline("Tuning or another loss", _without_tuning(findings, findings.without_tuning)))
    if len(findings.transfer_sets) > 1:
        named.append(Headline("Forgetting", _forgetting(findings)))
    if edges := " ".join(filter(None, [added_values(facts.added), at_edges(findings.edges)])):
        named.append(Headline("Edge of the grid", edges))
    if not findings.has_intervals:
        named.insert(0, Headline("Intervals", NO_INTERVALS))
    if text := diverged(findings, facts):
        named.insert(0, Headline("Diverged", text))
    return named


def diverged(findings: SweepFindings, facts: ExperimentFacts) -> str:
    """Return in words which trainings diverged, and which means therefore omit some pairs. Empty if none diverged."""
    missing = [
        f"{TREATMENT_NAMES[name]} ({plural(num, 'pair')})" for name, num in findings.num_pairs_without.items() if num
    ]
    pairs = f" These means lack pairs, all of whose trainings diverged: {', '.join(missing)}." if missing else ""
    return wording.diverged(findings.divergence, facts.names) + pairs


def verdict(estimate: Estimate) -> str:
    """Return in words whether the interval of a difference excludes 0. The text is empty if there is no interval."""
    if not estimate.has_interval:
        return ""
    if estimate.is_above_zero:
        return "a gain beyond noise"
    if estimate.is_below_zero:
        return "a loss beyond noise"
    return "not distinguishable from 0"


def remarks(estimate: Estimate, noun: str = "") -> str:
    """Return a space and, in parentheses, the verdict on a difference and its number of pairs.

    The text is empty if there is no verdict and ``noun`` is empty.

    Args:
        estimate: A difference.
        noun: What the difference is a mean over, as a singular noun such as ``pair``. If it is empty, the number is
            omitted.
    """
    parts = [part for part in (verdict(estimate), f"n = {plural(estimate.num, noun)}" if noun else "") if part]
    return f" ({'; '.join(parts)})" if parts else ""


def _advice(findings: SweepFindings, facts: ExperimentFacts) -> str:
    advice, came = findings.advice, findings.advice_on_test
    beaten, compared = (
        (BOTH_CONTROLS, "the better of the two controls")
        if has_results(findings.choice.control)
        else (UNCHANGED, "the unchanged student")
    )
    text = (
        f"{count_who_learns(facts)}. Of {plural(findings.num_pairs, 'ordered pair')}, each judged alone, learning "
        f"from the teacher pays off in {advice.count('distil'):,}: on validation, it beats {beaten} by more than its "
        f"noise. In {advice.count('fine_tune'):,}, training on without a teacher pays off, and in "
        f"{advice.count('leave'):,} neither does."
    )
    if differing := pairs_that_differ(advice.student_decisions(), facts):
        text += f" {differing}"
    pairs = advice.pairs_to_distil()
    if not pairs:
        return text
    student, teacher = pairs[0]
    over_both = came.over_best_control
    return (
        f"{text} The largest predicted gain of a pair: {called(facts.names[student])} from "
        f"{called(facts.names[teacher])}, "
        f"{prediction(advice.gain, pairs[0])}. On test, the students of the pairs in which learning pays off gain "
        f"{points_with_interval(over_both)} over {compared}{_verdict_after(', ', over_both)}; "
        f"{came.num_worse:,} of {len(pairs):,} are worse."
    )


def _gain(findings: SweepFindings, facts: ExperimentFacts) -> str:
    chosen, default = findings.comparison.chosen, findings.comparison.default
    untuned = default_setting(findings.default)
    bounds = f" (95 % interval {interval(chosen)})" if chosen.has_interval else ""
    return (
        f"With {tuned_names(findings.default.dimensions, 'transfer set')} chosen for each pair, distillation changes "
        f"the student's {findings.scope} accuracy by {points(chosen.value)} points{bounds} on average over "
        f"{plural(findings.num_pairs, 'ordered pair')} of {facts.peers_in_words}"
        f"{_verdict_after(': ', chosen)}. The untuned default ({untuned}) changes it by "
        f"{points_with_interval(default)}{_verdict_after(': ', default)}."
    )


def _tuning(findings: SweepFindings) -> str:
    comparison = findings.comparison
    ratio = (
        f"The tuned gain is {comparison.ratio.value:.1f} times the default's."
        if comparison.ratio.value is not None
        else f"The ratio of the two gains is not reported: {comparison.ratio.reason}."
    )
    return (
        f"Tuning brings {points_with_interval(comparison.tuned_over_default)} over the "
        f"default{_verdict_after(', ', comparison.tuned_over_default)}. {ratio} One setting for all pairs "
        f"({single_setting(findings.single)}) changes accuracy by "
        f"{points(findings.mean_gains['single', findings.scope].value)} points. A setting for each pair brings "
        f"{points_with_interval(findings.tuned_over_single)} over it"
        f"{_verdict_after(', ', findings.tuned_over_single)}."
    )


def _without_tuning(findings: SweepFindings, measured: WithoutTuning) -> str:
    default, (loss, target) = findings.default, measured.other
    other = " and ".join(f"{name} {value}" for name, value in (("loss", loss), ("target", target)) if value is not None)
    over = measured.other_over_tuned
    return (
        f"On transfer set {default.transfer_set}, where the untuned default changes accuracy by "
        f"{points_with_interval(measured.untuned)}, its loss and target with T and alpha tuned for each pair change it "
        f"by {points_with_interval(measured.tuned)}, no tuning but {other} for all pairs by "
        f"{points_with_interval(measured.with_other)}, and both together by {points_with_interval(measured.both)}: no "
        f"tuning but {other} brings {points_with_interval(over)} over tuning{_verdict_after(', ', over)}."
    )


def _away(findings: SweepFindings) -> str:
    comparison = findings.comparison
    return (
        f"The best {tuned_names(findings.default.dimensions)} differ from the default's for "
        f"{share_of(comparison.share_not_default)} pairs. The chosen setting, transfer set included, beats the "
        f"default by more than {NUM_STANDARD_ERRORS:g} paired standard errors for "
        f"{share_of(comparison.share_wins)}, where chance alone would give about "
        f"{round(CHANCE_OF_A_WIN * comparison.share_wins.num)}."
    )


def _parts(findings: SweepFindings) -> str:
    nothing = (
        f"For {findings.num_pairs_where_nothing_helps} of {plural(findings.num_pairs, 'pair')}, every distillation is "
        f"at best equal on validation to the unchanged student or to "
        f"{control(findings.transfer_sets, num_imitations=findings.num_imitations)}."
    )
    from_data, from_teacher = findings.mean_gain_from_data, findings.mean_gain_from_teacher
    if not from_data.num and findings.num_pairs_without["control"]:
        return f"Every control without a teacher diverged, so the effect of the data alone is unknown. {nothing}"
    over_control = (
        f"Distillation brings {points_with_interval(findings.tuned_over_control)} over {_best_control(findings)}"
        f"{_verdict_after(', ', findings.tuned_over_control)}. "
    )
    if not from_data.num and findings.num_imitations:
        return f"No transfer set has labels, so no fine-tuning exists. {over_control}{nothing}"
    if not from_data.num:
        return (
            "No transfer set has labels, so the sweep has no control without a teacher. For "
            f"{findings.num_pairs_where_nothing_helps} of {plural(findings.num_pairs, 'pair')}, every distillation is "
            "at best equal to the unchanged student on validation."
        )
    kinds = kinds_of_controls(findings.num_imitations, findings.mean_gains["control", findings.scope].num)
    kinds = f"{kinds} " if kinds else ""
    num_without = findings.counts.num_without_labels
    chose_without = f"; {plural(num_without, 'pair')} chose a set without labels, which allows no fine-tuning"
    without = chose_without if num_without else ""
    return (
        f"The same training without a teacher brings {points_with_interval(from_data)} of the chosen gain, and the "
        f"teacher brings {points_with_interval(from_teacher)}{_verdict_after(', ', from_teacher)} "
        f"(n = {plural(from_data.num, 'pair')}{without}). {over_control}{kinds}{nothing}"
    )


def _best_control(findings: SweepFindings) -> str:
    if findings.num_imitations:
        return "the best training without a teacher"
    return "fine-tuning on the best transfer set for fine-tuning"


def _position(findings: SweepFindings) -> str:
    right = findings.position.preferred_over_other
    return (
        f"Validation also chooses which of two peers is the student. The direction that it prefers brings "
        f"{points_with_interval(right)} over the other one, on average over {plural(right.num, 'pair')} of peers"
        f"{_verdict_after(', ', right)}."
    )


def _forgetting(findings: SweepFindings) -> str:
    chosen = [change for change in findings.forgetting.changes if change.role == "chosen" and change.forgetting.num]
    if len(chosen) < 2:
        return "Fewer than two transfer sets can be compared, because the distillations on the others diverged."
    least, *_, most = sorted(chosen, key=lambda change: change.forgetting.value)
    return (
        f"Students forget least on transfer set {least.transfer_set} ({magnitude(least.forgetting.value)} points of "
        f"accuracy per class) and most on transfer set {most.transfer_set} ({magnitude(most.forgetting.value)}), each "
        f"with the best settings within the set (n = {plural(least.forgetting.num, 'pair')})."
    )


def _verdict_after(mark: str, estimate: Estimate) -> str:
    return f"{mark}{verdict(estimate)}" if estimate.has_interval else ""
