"""The answer of a study for each peer: what it should do, what it gains, and what it loses on its own data.

There is one answer for each peer, that of its published network. A sweep and a tuned study, the page and the terminal
all show the same answers.
"""

import math
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

import numpy as np

from peerkd.reporting.facts import ExperimentFacts, ImprovedStudent
from peerkd.reporting.wording import percent, points
from peerkd.results.advice import NUM_DEVIATIONS
from peerkd.study import ties
from peerkd.study.objective import Objective
from peerkd.study.splits import SCOPES
from peerkd.study.student_choice import StudentDecision
from peerkd.study.transfer_sets import TRANSFER_SETS, Source
from peerkd.wording import called, plural

MAX_ON_FIRST_SCREEN: Final = 10
"""The number of peers whose answers are visible on the page without a click."""

_MAX_IN_TERMINAL: Final = 5

_TRANSFER_SET: Final = re.compile(r"transfer set (\w+)")
"""The pattern of the transfer set in the words for a training, which ``model_card.CardSetting.in_words`` returns."""

_FINE_TUNED: Final = "was fine-tuned"

ORDER: Final[tuple[StudentDecision, ...]] = ("distil", "fine_tune", "leave")


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerAnswer:
    """What one peer should do, and its accuracies as fractions."""

    student: int
    name: str
    decision: StudentDecision
    words: str
    """What the peer should do, as words that follow "should"."""

    short: str
    """What the peer should do, in few words."""

    validation_gain: float
    """The gain on validation, measured by the objective by which the study chose."""

    before: tuple[float, float]
    """The global and the own accuracy of the pre-trained network on test."""

    after: tuple[float, float]
    """The global and the own accuracy of the published network on test."""

    own_drop: float
    """The fall of the accuracy on the own validation and test samples together."""

    own_variance: float
    """The variance of the noise of ``own_drop``."""

    @property
    def loses_at_home(self) -> bool:
        """Whether own accuracy falls by more than its noise."""
        return bool(ties.is_above(self.own_drop, NUM_DEVIATIONS * math.sqrt(self.own_variance)))


def answers(facts: ExperimentFacts, objective: Objective) -> list[PeerAnswer]:
    """Return the answers for all peers: first those that should learn, then those that should train on, then the rest.

    Args:
        facts: The facts about the experiment, with the decision for each student.
        objective: The objective by which the study chooses.
    """
    drops = [_own_drop(each, facts) for each in facts.improved.students]
    found = [
        PeerAnswer(
            student=each.student,
            name=called(facts.names[each.student]),
            decision=each.decision,
            words=_in_words(each, facts.names),
            short=f"train on{foreign_data_in_words(each, facts.names)}"
            if each.decision == "fine_tune"
            else _in_words(each, facts.names),
            validation_gain=_gain(each, objective),
            before=_on_test(each.before),
            after=_on_test(each.after),
            own_drop=drop,
            own_variance=variance,
        )
        for each, (drop, variance) in zip(facts.improved.students, drops, strict=True)
    ]
    return sorted(found, key=lambda answer: ORDER.index(answer.decision))


def decided_pairs(facts: ExperimentFacts) -> list[tuple[int, int]]:
    """Return student and teacher of each peer that should learn from a teacher."""
    return [
        (each.student, each.teacher)
        for each in facts.improved.students
        if each.decision == "distil" and each.teacher is not None
    ]


def answer_of(facts: ExperimentFacts, student: int) -> str:
    """Return what a peer should do, as words that follow "should". Empty if the peer has no answer."""
    return next((_in_words(each, facts.names) for each in facts.improved.students if each.student == student), "")


def data_in_words(student: ImprovedStudent, names: Sequence[str]) -> str:
    """Return whose data the training of a peer uses, such as ``its own data and that of kitchen``.

    The text is empty if the words for the training name no transfer set.
    """
    sources = _sources(student)
    of_teacher = "another peer" if student.teacher is None else called(names[student.teacher])
    parts = {
        "student": "its own data",
        "teacher": f"that of {of_teacher}" if "student" in sources else f"the data of {of_teacher}",
        "public": "the public data",
    }
    return " and ".join(words for source, words in parts.items() if source in sources)


def foreign_data_in_words(student: ImprovedStudent, names: Sequence[str]) -> str:
    """Return a clause that names the peer whose data the training of another peer uses. Empty if it uses none."""
    if "teacher" not in _sources(student) or student.teacher is None:
        return ""
    return f" with data of {called(names[student.teacher])}"


def accuracies_in_words(found: Sequence[PeerAnswer]) -> str:
    """Return a sentence with the mean global and own accuracies on test, before and after."""
    before, after = (np.mean([getattr(each, moment) for each in found], axis=0) for moment in ("before", "after"))
    return (
        f"With the published networks, the mean accuracy on test goes from {percent(before[0])} to {percent(after[0])} "
        f"on the global set, and from {percent(before[1])} to {percent(after[1])} on the peers' own sets."
    )


def losses_in_words(found: Sequence[PeerAnswer], *, is_tuned: bool, losing: str) -> str:
    """Return a warning that own accuracy falls by more than noise, in the mean over peers or for single peers.

    The warning names the field that limits such a loss. The text is empty if there is nothing to warn of.

    Args:
        found: The answers.
        is_tuned: Whether the study is a tuned study, in which ``tune.max_own_drop`` applies.
        losing: The names of the peers whose own accuracy falls by more than noise, in words.
    """
    num_losing = sum(each.loses_at_home for each in found)
    mean_drop = float(np.mean([each.own_drop for each in found]))
    mean_deviation = math.sqrt(sum(each.own_variance for each in found)) / len(found)
    who = ["on average over peers"] if ties.is_above(mean_drop, NUM_DEVIATIONS * mean_deviation) else []
    if num_losing:
        who.append(f"for {plural(num_losing, 'peer')} ({losing})")
    if not who:
        return ""
    limit = "tune.max_own_drop limits this loss" + ("" if is_tuned else " in a tuned study (--strategy tune)")
    return f"The accuracy on own data falls by more than noise {' and '.join(who)}; {limit}."


def terminal_lines(found: Sequence[PeerAnswer]) -> list[str]:
    """Return a title, and a line for each peer that should be trained: at most 80 columns unless names are long.

    Peers that stay unchanged have no line; the sentence on them names them. There are no lines if all stay unchanged.
    """
    trained = [each for each in found if each.decision != "leave"]
    if not trained:
        return []
    shown = trained[:_MAX_IN_TERMINAL]
    labels = [f"{each.name}: {each.short}{' (!)' if each.loses_at_home else ''}" for each in shown]
    width = max(40, *map(len, labels))
    lines = [f"  {'accuracy in %':<{width}}{'validation':>11}{'global test':>13}{'own test':>13}"]
    for label, each in zip(labels, shown, strict=True):
        scopes = (
            f"{100 * before:.1f} to {100 * after:.1f}" for before, after in zip(each.before, each.after, strict=True)
        )
        lines.append(f"  {label:<{width}}{points(each.validation_gain):>9}" + "".join(f"{text:>14}" for text in scopes))
    if any(each.loses_at_home for each in shown):
        lines.append("  (!) own accuracy, on validation and test together, falls by more than noise")
    rest = len(trained) - len(shown)
    return [*lines, f"  and {plural(rest, 'more peer')}, which the page lists"] if rest else lines


def _in_words(student: ImprovedStudent, names: Sequence[str]) -> str:
    if student.decision == "leave":
        return "stay unchanged"
    if student.decision == "distil":
        return "learn from a teacher" if student.teacher is None else f"learn from {called(names[student.teacher])}"
    data = data_in_words(student, names)
    return "train on, without a teacher" + (f", on {data}" if data else "")


def _sources(student: ImprovedStudent) -> Set[Source]:
    """Return the sample sets on which a peer is trained. Empty if the words for the training name no transfer set."""
    found = _TRANSFER_SET.search(student.setting or "")
    if found is None or found[1] not in TRANSFER_SETS:
        return frozenset()
    kind = TRANSFER_SETS[found[1]]
    # Fine-tuning reads labels, and uses no other samples.
    return kind.labelled_sources if (student.setting or "").startswith(_FINE_TUNED) else kind.sources


def _gain(student: ImprovedStudent, objective: Objective) -> float:
    before, after = (
        {scope: np.array(accuracies[f"validation_{scope}_accuracy"]) for scope in SCOPES}
        for accuracies in (student.before, student.after)
    )
    return float(objective.gains({scope: after[scope] - before[scope] for scope in SCOPES}))


def _on_test(accuracies: Mapping[str, float]) -> tuple[float, float]:
    return accuracies["test_global_accuracy"], accuracies["test_own_accuracy"]


def _own_drop(student: ImprovedStudent, facts: ExperimentFacts) -> tuple[float, float]:
    """Return by how much own accuracy falls, and the variance of the noise of this number.

    The own validation set and the own test set are pooled, because each alone has few samples. It is not recorded on
    which of these samples a network is right, so the networks before and after count as independent. Of N samples, the
    variance of the difference of two accuracies p and q is then (p (1 - p) + q (1 - q)) / N. Networks that start from
    the same weights agree more often than independent ones, so the true variance is smaller.
    """
    if student.decision == "leave":
        return 0.0, 0.0
    sets = facts.evaluation_sets[student.student]
    sizes = {"validation": sets.validation.own_set, "test": sets.test.own_set}
    num = sum(sizes.values())
    before, after = (
        sum(size * accuracies[f"{split}_own_accuracy"] for split, size in sizes.items()) / num
        for accuracies in (student.before, student.after)
    )
    return before - after, (before * (1 - before) + after * (1 - after)) / num
