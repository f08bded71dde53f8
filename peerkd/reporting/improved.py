"""The better peers in words, the same for a sweep and for a tuned study."""

from collections.abc import Mapping, Sequence

import numpy as np

from peerkd.reporting.facts import ImprovedPeers, ImprovedStudent
from peerkd.reporting.headline import Headline
from peerkd.reporting.wording import percent
from peerkd.study.student_choice import StudentDecision
from peerkd.wording import plural


def headline(improved: ImprovedPeers) -> Headline:
    """Return how many students learned from a teacher and how many trained on, their accuracies, and their artifact."""
    return Headline(
        "Better peers", f"{_counts(improved)} {_accuracies(improved)} Their networks are in {improved.key}."
    )


def terminal_line(improved: ImprovedPeers) -> str:
    """Return the artifact and the mean accuracy before and after in at most 80 columns."""
    before, after = (
        _mean([getattr(each, moment) for each in improved.students], "test_global_accuracy")
        for moment in ("before", "after")
    )
    return f"better peers: {improved.key}, mean global test {before} to {after}"


def decision_in_words(student: ImprovedStudent) -> str:
    """Return what was done with a student, as a phrase that follows its name."""
    return student.setting or "stays unchanged"


def _counts(improved: ImprovedPeers) -> str:
    distilled, tuned, left = (_count(improved.students, name) for name in ("distil", "fine_tune", "leave"))
    return (
        f"Of {plural(len(improved.students), 'student')}, {distilled:,} learned from a teacher, {tuned:,} trained on "
        f"without one, and {left:,} stayed unchanged."
    )


def _count(students: Sequence[ImprovedStudent], decision: StudentDecision) -> int:
    return sum(student.decision == decision for student in students)


def _accuracies(improved: ImprovedPeers) -> str:
    means = [
        f"{scope} from {_mean([student.before for student in improved.students], name)} to "
        f"{_mean([student.after for student in improved.students], name)}"
        for scope, name in (("global", "test_global_accuracy"), ("own", "test_own_accuracy"))
    ]
    return f"Mean test accuracy changes {means[0]}, and {means[1]}."


def _mean(accuracies: Sequence[Mapping[str, float]], name: str) -> str:
    return percent(float(np.mean([each[name] for each in accuracies])))
