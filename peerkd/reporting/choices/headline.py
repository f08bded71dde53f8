"""The findings of a tuned study in a few sentences."""

from peerkd.reporting.choices.findings import PairChoice, TuningFindings
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.headline import Headline
from peerkd.reporting.peer_answers import PeerAnswer, answer_of, answers, decided_pairs
from peerkd.reporting.verdict import by_student, judged_alone, pairs_that_differ
from peerkd.reporting.wording import BOTH_CONTROLS, NO_INTERVALS, diverged, points, points_with_interval, setting
from peerkd.results.advice import COVERAGE
from peerkd.wording import called, plural


def headline(findings: TuningFindings, facts: ExperimentFacts) -> list[Headline]:
    """Return the findings in words, the most important first."""
    named = [
        Headline("Plan", _plan(findings, facts)),
        Headline("Gain", _gain(findings)),
        Headline("Cost", _cost(findings)),
        Headline("Experience", _experience(findings)),
    ]
    if findings.untried_pairs or findings.untried_settings:
        named.append(Headline("Not tried", _untried(findings)))
    if findings.mean_expected.num and not findings.mean_expected.has_interval:
        named.insert(0, Headline("Intervals", NO_INTERVALS))
    if text := diverged(findings.divergence, facts.names):
        named.insert(0, Headline("Diverged", text))
    return named


def verdict(findings: TuningFindings, facts: ExperimentFacts) -> list[str]:
    """Return sentences on who should learn from whom, who should not, what this changes, and what it cost to know.

    If peers lose accuracy on their own data, or if the validation sets are small, further sentences say so.
    """
    cost = findings.cost
    return [
        *students_in_words(facts),
        f"It took {plural(cost.num_trials, 'trial')}, {100 * cost.spent_share:.2f} % of the cost of the full sweep, to "
        "know.",
    ]


def answers_of_study(facts: ExperimentFacts) -> list[PeerAnswer]:
    """Return what each peer should do according to a tuned study, and what it gains and loses."""
    return answers(facts, facts.config.objective)


def students_in_words(facts: ExperimentFacts) -> list[str]:
    """Return sentences on the peers of a tuned study: who should learn from whom, who should not, and accuracies."""
    return by_student(facts, facts.config.objective, is_tuned=True)


def pairs_in_words(findings: TuningFindings, facts: ExperimentFacts) -> str:
    """Return a sentence on the pairs, each judged alone, and why their decisions differ from those for the peers."""
    decisions = [(choice.student, choice.decision) for choice in findings.choices]
    return judged_alone(decisions, facts, num_pairs=findings.num_pairs)


def overruled(choice: PairChoice, facts: ExperimentFacts) -> str:
    """Return what the student should do instead of learning from this teacher, as a clause.

    The text is empty if the student should learn from this teacher.
    """
    if (choice.student, choice.teacher) in decided_pairs(facts):
        return ""
    answer = answer_of(facts, choice.student)
    return f"overruled: {called(facts.names[choice.student])} should {answer}" if answer else ""


def describe(findings: TuningFindings, facts: ExperimentFacts, place: int) -> str:
    """Return the recommendation at the index ``place`` of the plan in words."""
    choice = findings.plan[place].choice
    assert choice.transfer_set is not None
    assert choice.temperature is not None
    assert choice.alpha is not None
    others = choice.learning_rate, choice.loss, choice.target
    words = setting(choice.transfer_set, choice.temperature, choice.alpha, *others)
    # Without a trial, the epoch to stop after is unknown.
    stop = f", for {plural(choice.epochs, 'epoch')}" if findings.chooses_epochs and choice.epochs else ""
    student, teacher = called(facts.names[choice.student]), called(facts.names[choice.teacher])
    instead = overruled(choice, facts)
    if instead:
        return f"{student} from {teacher} with {words}{stop} ({instead})"
    return f"{student} should learn from {teacher} with {words}{stop}"


def _plan(findings: TuningFindings, facts: ExperimentFacts) -> str:
    num_both = len(findings.plan) + findings.num_pairs_unchanged
    if not findings.plan:
        where = "Neither peer gains" if num_both == 1 else f"In none of {num_both:,} pairs of peers does one gain"
        return (
            f"{where} from the other, judged alone: no tried setting beats {BOTH_CONTROLS} by more than its noise. "
            f"{_others(findings, facts)}"
        )
    choice = findings.plan[0].choice
    gain, low, high = choice.expected_gain, choice.corrected_gain_low, choice.corrected_gain_high
    bounds = "" if low is None or high is None else f" ({100 * COVERAGE:g} % interval {points(low)} to {points(high)})"
    return (
        f"In {len(findings.plan):,} of {plural(num_both, 'pair')} of peers, each judged alone, one gains from the "
        f"other: on validation, this beats {BOTH_CONTROLS} by more than its noise. The largest expected gain of "
        "a pair: "
        f"{describe(findings, facts, 0)}"
        + (f", {points(gain)} points{bounds}." if gain is not None else ".")
        + f" {_others(findings, facts)}"
    )


def _others(findings: TuningFindings, facts: ExperimentFacts) -> str:
    text = (
        f"In {findings.count('fine_tune'):,} of {plural(findings.num_pairs, 'ordered pair')}, each judged alone, "
        f"training on without a teacher pays off, and in {findings.count('leave'):,} nothing does."
    )
    differing = pairs_that_differ(((choice.student, choice.decision) for choice in findings.choices), facts)
    return f"{text} {differing}" if differing else text


def _gain(findings: TuningFindings) -> str:
    tested, seen = findings.mean_test, findings.mean_validation_of_tested
    text = (
        f"Learning from the teacher pays off in {findings.num_distilled:,} of "
        f"{plural(findings.num_pairs, 'ordered pair')}, each judged alone"
    )
    if findings.num_distilled:
        text += (
            f"; the others count with a gain of 0. The mean expected gain is "
            f"{points_with_interval(findings.mean_expected)} (n = {plural(findings.mean_expected.num, 'pair')})."
        )
    else:
        text += ", so no gain is expected."
    gains = (
        f"gain {points_with_interval(tested)} on test, and {points_with_interval(seen)} on validation, where they were "
        "chosen."
    )
    if findings.chooses_epochs and tested.num:
        return f"{text} With a stop after their best epoch, the tested choices of {plural(tested.num, 'pair')} {gains}"
    if not tested.num:
        return f"{text} None of the chosen trials ran to the end, so their test accuracy is unknown."
    return f"{text} The chosen trials of {plural(tested.num, 'pair')}, which ran to the end, {gains}"


def _cost(findings: TuningFindings) -> str:
    cost = findings.cost
    return (
        f"The study ran {plural(cost.num_trials, 'trial')}, in full or in part, for {100 * cost.spent_share:.2f} % of "
        f"the cost of the full sweep without controls; the budget was {100 * cost.budget_fraction:g} %. It ended "
        f"because {cost.ended}."
    )


def _experience(findings: TuningFindings) -> str:
    if findings.why_no_experience is None:
        return "The tuner started from experience: what full sweeps of digits had taught."
    return f"The tuner started without the experience from full sweeps of digits, because {findings.why_no_experience}."


def _untried(findings: TuningFindings) -> str:
    num = len(findings.untried_pairs)
    parts = []
    if num:
        known = sum(choice.has_setting for choice in findings.untried_pairs)
        guessed = f"; for {known:,} of them, the gains of other pairs led to a choice" if known else ""
        parts.append(f"No setting was tried for {num:,} of {plural(findings.num_pairs, 'ordered pair')}{guessed}.")
    if findings.untried_settings:
        num_tried_never = len(findings.untried_settings)
        verb = "was" if num_tried_never == 1 else "were"
        parts.append(f"{num_tried_never:,} of {plural(findings.num_settings, 'setting')} {verb} never tried.")
    return " ".join(parts)
