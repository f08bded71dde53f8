from dataclasses import replace

import numpy as np

from peerkd.reporting.headline import headline
from peerkd.reporting.tables import terminal_summary
from peerkd.reporting.verdict import pairs_that_differ, verdict
from peerkd.results.pair_rows import NO_ROW


def test_the_verdict_is_about_peers_and_not_about_pairs(study):
    learns, others, accuracies, cost = verdict(study.facts)
    assert learns == "1 peer should learn from a teacher (peer 0 from peer 1)."
    assert accuracies.startswith("With the published networks, the mean accuracy on test goes from ")
    assert others.startswith(
        "9 peers should be left unchanged (peer 1, peer 2, peer 3, peer 4, peer 5, peer 6 and 3 more)"
    )
    assert "It took 5,590 trials, which lasted 131 seconds in total." in cost


def test_a_verdict_without_teachers_says_so(study):
    left = [replace(each, decision="leave") for each in study.facts.improved.students]
    facts = replace(study.facts, improved=replace(study.facts.improved, students=tuple(left)))
    learns, others, *_ = verdict(facts)
    assert learns == "No peer should learn from a teacher."
    assert others.startswith("10 peers should be left unchanged")


def test_a_finding_without_any_training_without_a_teacher_claims_no_such_control(study, findings):
    choice = replace(findings.choice, control=np.full_like(findings.choice.control, NO_ROW))
    changed = replace(findings, choice=choice)
    (advised,) = (each.text for each in headline(changed, study.facts) if "should learn from" in each.text)
    assert "beats the unchanged student, the only control because no training without a teacher" in advised
    assert "both controls" not in advised
    assert "better of the two" not in advised


def test_a_student_whose_pairs_say_otherwise_is_named_with_the_reason(study):
    """Student 0 distils, and all others stay unchanged."""
    agreeing = [(0, "leave"), (0, "distil"), (1, "leave"), (2, "leave"), (2, "leave")]
    assert pairs_that_differ(agreeing, study.facts) == ""
    one = pairs_that_differ([*agreeing, (1, "fine_tune")], study.facts)
    assert one == (
        "The decision for one student differs from those for its pairs (peer 1): a pair is judged by its own trainings "
        "alone, and a student by those of all its pairs, of which the best one must beat the noise of them all."
    )
    two = pairs_that_differ([(0, "fine_tune"), (2, "distil"), (3, "leave")], study.facts)
    assert two.startswith("The decisions for 2 students differ from those for their pairs (peer 0, peer 2): ")


def test_all_places_that_count_pairs_explain_students_that_differ(study, findings):
    """Several pairs of other students should distil, although the facts leave all students but one unchanged."""
    note = pairs_that_differ(findings.advice.student_decisions(), study.facts)
    assert note
    (advised,) = (each.text for each in headline(findings, study.facts) if each.topic == "Who learns from whom")
    assert note in advised
    assert note in " ".join(terminal_summary(findings, study.facts).split())
