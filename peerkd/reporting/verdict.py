"""The verdict of a study: who should learn from whom, who should not, and what it cost to know.

The sentences on students are the same for a sweep and for a tuned study. Each student counts with the decision that was
made for its published network.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from peerkd.reporting.charts import MAX_ARROWS
from peerkd.reporting.controls import UNCHANGED, has_results
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.findings import SweepFindings
from peerkd.reporting.small_validation import small_validation
from peerkd.reporting.wording import percent, points_with_interval
from peerkd.results.cost import RunCost
from peerkd.results.pair_advice import DECISIONS
from peerkd.study.objective import Objective, objective_of
from peerkd.study.student_choice import StudentDecision
from peerkd.wording import called, plural

_MAX_NAMES: Final = 6
"""The number of peers that a sentence names; the others are counted."""


def verdict(findings: SweepFindings, facts: ExperimentFacts) -> list[str]:
    """Return three sentences: who should learn from whom, who should not, and what it cost to know.

    If the validation sets are small, a further sentence before the last one says which gains cannot be found.
    """
    return [*students_in_words(findings, facts), _cost(facts)]


def students_in_words(findings: SweepFindings, facts: ExperimentFacts) -> list[str]:
    """Return sentences on the students of a sweep: those of ``by_student``."""
    over = findings.advice_on_test.over_best_control
    beaten, compared = (
        ("both controls", "the better of the two") if has_results(findings.choice.control) else (UNCHANGED, "it")
    )
    gain = f": on test, these pairs gain {points_with_interval(over)} over {compared}" if over.num else ""
    return by_student(
        facts,
        objective_of(facts.config.sweep.selection_metric),
        num_advised=findings.advice.count("distil"),
        num_pairs=findings.num_pairs,
        beaten=beaten,
        gain=gain,
    )


def by_student(
    facts: ExperimentFacts,
    objective: Objective,
    *,
    num_advised: int,
    num_pairs: int,
    beaten: str = "both controls",
    gain: str = "",
) -> list[str]:
    """Return two sentences on the students: who should learn from whom, and who should train on or stay unchanged.

    A third sentence follows if the validation sets are small.

    Args:
        facts: The facts about the experiment, with the decision for each student.
        objective: The objective by which the study chooses.
        num_advised: The number of ordered pairs whose student should learn from the teacher, each judged alone.
        num_pairs: The number of ordered pairs.
        beaten: The controls that such a pair beats, in words.
        gain: What the first sentence adds on the gain of these pairs, after its last word.
    """
    limit = small_validation(facts, objective)
    return [
        _who_learns(facts, num_advised, num_pairs, beaten, gain),
        _who_does_not(facts),
        *([limit] if limit else []),
    ]


def pairs_that_differ(decisions: Iterable[tuple[int, str]], facts: ExperimentFacts) -> str:
    """Return a sentence on the students whose decisions differ from those for their pairs. Empty if there are none.

    A student differs from its pairs if its decision is not the strongest of theirs. To distil is stronger than to
    fine-tune, and to fine-tune is stronger than to stay unchanged.

    Args:
        decisions: The student and the decision of each ordered pair.
        facts: The facts about the experiment, with the decision for each student.
    """
    of_pairs: dict[int, int] = {}
    for student, decision in decisions:
        if decision in DECISIONS:
            strength = DECISIONS.index(decision)
            of_pairs[student] = min(strength, of_pairs.get(student, strength))
    names = _names(facts)
    differing = [
        names[each.student]
        for each in facts.improved.students
        if each.student in of_pairs and DECISIONS.index(each.decision) != of_pairs[each.student]
    ]
    if not differing:
        return ""
    subject = "The decision for one student differs from those for its pairs"
    if len(differing) > 1:
        subject = f"The decisions for {len(differing):,} students differ from those for their pairs"
    return (
        f"{subject} ({few(differing)}): a pair is judged by its own trainings alone, and a student by those of all its "
        "pairs, of which the best one must beat the noise of them all."
    )


def network_note(num_arrows: int) -> str:
    """Return in words what the arrows in the chart of peers stand for."""
    if not num_arrows:
        return "There is no arrow, because no teaching pays."
    drawn = f" The {MAX_ARROWS} widest are drawn." if num_arrows > MAX_ARROWS else ""
    return (
        f"An arrow leads from teacher to student for each of {plural(num_arrows, 'ordered pair')} in which the "
        "teaching pays, each judged alone on validation. Its width is the gain of the student. An arrow without a gain "
        f"is thin and grey.{drawn}"
    )


def _who_learns(facts: ExperimentFacts, num_advised: int, num_pairs: int, beaten: str, gain: str) -> str:
    names = _names(facts)
    learning = [student for student in facts.improved.students if student.decision == "distil"]
    if not learning and not num_advised:
        return (
            "No peer should learn from another: for no ordered pair does distillation beat both the unchanged student "
            "and training without a teacher by more than noise."
        )
    who = [names[each.student] + ("" if each.teacher is None else f" from {names[each.teacher]}") for each in learning]
    subject = f"Because of a teacher, {plural(len(learning), 'peer')} should learn ({few(who)})"
    if not learning:
        subject = "Over all its pairs, no peer gains most from a teacher"
    of_pairs = f"{num_advised:,} of {plural(num_pairs, 'ordered pair')}"
    return f"{subject}; in {of_pairs}, each judged alone, a teacher beats {beaten} by more than noise{gain}."


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
