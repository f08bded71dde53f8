"""The verdict of a sweep in three sentences: who should learn from whom, who should not, and what it cost to know."""

from collections.abc import Sequence
from typing import Final

from peerkd.reporting.charts import MAX_ARROWS
from peerkd.reporting.controls import UNCHANGED, has_results
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.findings import SweepFindings
from peerkd.reporting.wording import percent, points_with_interval
from peerkd.results.cost import RunCost
from peerkd.study.student_choice import StudentDecision
from peerkd.wording import called, plural

_MAX_NAMES: Final = 6
"""The number of peers that a sentence names; the others are counted."""


def verdict(findings: SweepFindings, facts: ExperimentFacts) -> list[str]:
    """Return three sentences: who should learn from whom, who should not, and what it cost to know.

    Each student counts with the decision that was made for its published network.
    """
    return [_who_learns(findings, facts), _who_does_not(facts), _cost(facts)]


def network_note(num_arrows: int) -> str:
    """Return in words what the arrows in the chart of peers stand for."""
    if not num_arrows:
        return "There is no arrow, because no teaching pays."
    drawn = f" The {MAX_ARROWS} widest are drawn." if num_arrows > MAX_ARROWS else ""
    return (
        f"An arrow leads from teacher to student for each of {plural(num_arrows, 'ordered pair')} in which the "
        "teaching pays, judged on validation. Its width is the gain of the student. An arrow without a gain is thin "
        f"and grey.{drawn}"
    )


def _who_learns(findings: SweepFindings, facts: ExperimentFacts) -> str:
    names, advice = _names(facts), findings.advice
    teacher_of: dict[int, int] = {}
    for student, teacher in advice.pairs_to_distil():
        teacher_of.setdefault(student, teacher)
    students = _students(facts, "distil")
    of_pairs = f"{advice.count('distil'):,} of {plural(findings.num_pairs, 'ordered pair')}"
    if not students and not teacher_of:
        return (
            "No peer should learn from another: for no ordered pair does distillation beat both the unchanged student "
            "and training without a teacher by more than noise."
        )
    who = [names[each] + (f" from {names[teacher_of[each]]}" if each in teacher_of else "") for each in students]
    subject = f"Because of a teacher, {plural(len(students), 'peer')} should learn ({few(who)})"
    if not students:
        subject = "No peer gains most from a teacher"
    over = findings.advice_on_test.over_best_control
    beaten, compared = (
        ("both controls", "the better of the two") if has_results(findings.choice.control) else (UNCHANGED, "it")
    )
    gain = f": on test, these pairs gain {points_with_interval(over)} over {compared}" if over.num else ""
    return f"{subject}; in {of_pairs}, a teacher beats {beaten} by more than noise{gain}."


def _who_does_not(facts: ExperimentFacts) -> str:
    names = _names(facts)
    tuned, left = ([names[each] for each in _students(facts, decision)] for decision in ("fine_tune", "leave"))
    parts = []
    if tuned:
        parts.append(f"{plural(len(tuned), 'peer')} should only train on, without a teacher ({few(tuned)})")
    if left:
        parts.append(f"{plural(len(left), 'peer')} should be left unchanged ({few(left)})")
    return f"{'; '.join(parts)}." if parts else "No peer should only train on or be left unchanged."


def _cost(facts: ExperimentFacts) -> str:
    before, after = (
        [getattr(student, moment)["test_global_accuracy"] for student in facts.improved.students]
        for moment in ("before", "after")
    )
    trials = plural(facts.num_trials, "trial")
    spent = _resources(facts.cost) if facts.cost else f"{facts.worker_seconds:,.0f} worker-seconds"
    return (
        f"The mean global accuracy on test goes from {percent(sum(before) / len(before))} to "
        f"{percent(sum(after) / len(after))} with the published networks, and it took {trials} and {spent} to know."
    )


def _resources(cost: RunCost) -> str:
    total = cost.total
    parts = [f"{total.worker_seconds:,.0f} worker-seconds"]
    if total.gpu_seconds:
        parts.append(f"{total.gpu_seconds:,.0f} GPU-seconds")
    if total.money is not None:
        parts.append(f"a cost of {total.money:,.2f}")
    return " and ".join(parts)


def _students(facts: ExperimentFacts, decision: StudentDecision) -> list[int]:
    return [student.student for student in facts.improved.students if student.decision == decision]


def _names(facts: ExperimentFacts) -> list[str]:
    return [called(name) for name in facts.names]


def few(names: Sequence[str]) -> str:
    """Return the first names, separated by commas, and the number of the others."""
    rest = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {rest:,} more" if rest > 0 else "")
