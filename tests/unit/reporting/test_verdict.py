from dataclasses import replace

import numpy as np

from peerkd.reporting.headline import headline
from peerkd.reporting.tables import terminal_summary
from peerkd.reporting.verdict import network_note, pairs_that_differ, verdict
from peerkd.results.pair_rows import NO_ROW


def test_the_verdict_has_three_sentences_with_the_numbers_of_the_findings(study, findings):
    learns, others, cost = verdict(findings, study.facts)
    assert learns.startswith("Because of a teacher, 1 peer should learn (peer 0 from peer 1); in ")
    assert f"in {findings.advice.count('distil')} of 90 ordered pairs" in learns
    assert others.startswith(
        "9 peers should be left unchanged (peer 1, peer 2, peer 3, peer 4, peer 5, peer 6 and 3 more)"
    )
    assert "it took 5,590 trials and 131 worker-seconds" in cost


def test_a_verdict_without_teachers_says_so(study, findings):
    advice = replace(findings.advice, decision=findings.advice.decision.copy())
    advice.decision[advice.decision == "distil"] = "leave"
    left = [replace(each, decision="leave") for each in study.facts.improved.students]
    facts = replace(study.facts, improved=replace(study.facts.improved, students=tuple(left)))
    learns, others, _ = verdict(replace(findings, advice=advice), facts)
    assert learns.startswith("No peer should learn from another")
    assert others.startswith("10 peers should be left unchanged")
    assert network_note(0) == "There is no arrow, because no teaching pays."


def test_a_verdict_without_any_training_without_a_teacher_claims_no_such_control(study, findings):
    choice = replace(findings.choice, control=np.full_like(findings.choice.control, NO_ROW))
    changed = replace(findings, choice=choice)
    learns, *_ = verdict(changed, study.facts)
    assert "a teacher beats the unchanged student, the only control because no training without a teacher" in learns
    (advised,) = (each.text for each in headline(changed, study.facts) if "should learn from" in each.text)
    for text in (learns, advised):
        assert "both controls" not in text
        assert "better of the two" not in text


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


def test_the_note_of_a_large_network_says_how_many_arrows_are_drawn():
    assert "drawn" not in network_note(100)
    assert network_note(101).endswith("The 100 widest are drawn.")
