"""The verdict of a study: who should learn from whom, who should not, and what it cost to know.

The sentences on peers are the same for a sweep and for a tuned study. Each peer counts with the decision that was made
for its published network. Pairs that were judged alone have a sentence of their own, which is no part of the verdict.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.peer_answers import (
    PeerAnswer,
    accuracies_in_words,
    answers,
    foreign_data_in_words,
    losses_in_words,
)
from peerkd.reporting.small_validation import small_validation
from peerkd.results.cost import RunCost
from peerkd.results.pair_advice import DECISIONS
from peerkd.study.objective import Objective, objective_of
from peerkd.study.student_choice import StudentDecision
from peerkd.wording import called, plural

_MAX_NAMES: Final = 6
"""The number of peers that a sentence names. The other peers are only counted."""


def verdict(facts: ExperimentFacts) -> list[str]:
    """Return sentences on who should learn from whom, who should not, what this changes, and what it cost to know.

    If peers lose accuracy on their own data, or if the validation sets are small, further sentences say so.
    """
    return [*students_in_words(facts), _cost(facts)]


def answers_of_sweep(facts: ExperimentFacts) -> list[PeerAnswer]:
    """Return what each peer should do according to a sweep, and what it gains and loses."""
    return answers(facts, objective_of(facts.config.sweep.selection_metric))


def students_in_words(facts: ExperimentFacts) -> list[str]:
    """Return sentences on the peers of a sweep: who should learn from whom, who should not, and accuracies."""
    return by_student(facts, objective_of(facts.config.sweep.selection_metric), is_tuned=False)


def judged_alone(
    decisions: Sequence[tuple[int, str]],
    facts: ExperimentFacts,
    *,
    num_pairs: int,
) -> str:
    """Return sentences on pairs that were judged alone: where learning pays off, and which decisions of peers differ.

    Learning from the teacher of a pair pays off if it beats both controls by more than noise.

    Args:
        decisions: The student and the decision of each ordered pair.
        facts: The facts about the experiment, with the decision for each student.
        num_pairs: The number of ordered pairs.
    """
    num_paying = sum(decision == "distil" for _, decision in decisions)
    sentence = (
        f"In {num_paying:,} of {plural(num_pairs, 'ordered pair')}, each judged alone, a teacher beats both "
        "controls by more than noise."
    )
    differing = pairs_that_differ(decisions, facts)
    return f"{sentence} {differing}" if differing else sentence


def by_student(facts: ExperimentFacts, objective: Objective, *, is_tuned: bool) -> list[str]:
    """Return sentences on the peers: who should learn from whom, who should not, and the accuracies before and after.

    A warning follows the accuracies if those on own data fall by more than noise. Another sentence follows if the
    validation sets are small.

    Args:
        facts: The facts about the experiment, with the decision for each student.
        objective: The objective by which the study chooses.
        is_tuned: Whether the study is a tuned study.
    """
    found = answers(facts, objective)
    losing = few([each.name for each in found if each.loses_at_home])
    warning = losses_in_words(found, is_tuned=is_tuned, losing=losing)
    limit = small_validation(facts, objective)
    return [
        _who_learns(facts),
        _who_does_not(facts),
        " ".join(filter(None, [accuracies_in_words(found), warning])),
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


def count_who_learns(facts: ExperimentFacts) -> str:
    """Return how many peers should learn from a teacher, as a clause."""
    num = len(_students(facts, "distil"))
    return f"{num:,} of {plural(len(facts.improved.students), 'peer')} should learn from a teacher"


def _who_learns(facts: ExperimentFacts) -> str:
    names = _names(facts)
    learning = [student for student in facts.improved.students if student.decision == "distil"]
    if not learning:
        return "No peer should learn from a teacher."
    who = [names[each.student] + ("" if each.teacher is None else f" from {names[each.teacher]}") for each in learning]
    return f"{plural(len(learning), 'peer')} should learn from a teacher ({few(who)})."


def _who_does_not(facts: ExperimentFacts) -> str:
    names = _names(facts)
    tuned = [
        names[each.student] + foreign_data_in_words(each, facts.names)
        for each in facts.improved.students
        if each.decision == "fine_tune"
    ]
    left = [names[each] for each in _students(facts, "leave")]
    parts = []
    if tuned:
        parts.append(f"{plural(len(tuned), 'peer')} should only train on, without a teacher ({few(tuned)})")
    if left:
        parts.append(f"{plural(len(left), 'peer')} should be left unchanged ({few(left)})")
    return f"{'; '.join(parts)}." if parts else "No peer should only train on or be left unchanged."


def _cost(facts: ExperimentFacts) -> str:
    trials = plural(facts.num_trials, "trial")
    if facts.cost is None:
        return f"It took {trials}, which lasted {facts.worker_seconds:,.0f} seconds in total."
    return f"It took {trials} and {_resources(facts.cost)} to know."


def _resources(cost: RunCost) -> str:
    total = cost.total
    parts = [f"{total.worker_seconds:,.0f} seconds of all workers"]
    if total.gpu_seconds:
        parts.append(f"{total.gpu_seconds:,.0f} seconds of all GPUs")
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
