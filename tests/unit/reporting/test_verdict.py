from dataclasses import replace

import numpy as np

from peerkd.reporting.headline import headline
from peerkd.reporting.verdict import network_note, verdict
from peerkd.results.pair_rows import NO_ROW


def test_the_verdict_has_three_sentences_with_the_numbers_of_the_findings(study, findings):
    learns, others, cost = verdict(findings, study.facts)
    assert learns.startswith("Because of a teacher, 1 peer should learn (peer 0")
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


def test_the_note_of_a_large_network_says_how_many_arrows_are_drawn():
    assert "drawn" not in network_note(100)
    assert network_note(101).endswith("The 100 widest are drawn.")
