"""What reports say of the better peers."""

from dataclasses import replace

import pytest

from peerkd.reporting.facts import ImprovedPeers, ImprovedStudent
from peerkd.reporting.html import render
from peerkd.reporting.improved import decision_in_words, headline, terminal_line
from tests.tables import Study

NAMES = [f"{split}_{scope}_accuracy" for split in ("validation", "test") for scope in ("global", "own")]


def student(number, decision, *, before=0.5, after=0.5, is_reproduced=None):
    return ImprovedStudent(
        student=number,
        decision=decision,
        setting={"distil": "learned from peer 7", "fine_tune": "was fine-tuned", "leave": None}[decision],
        is_reproduced=is_reproduced,
        before=dict.fromkeys(NAMES, before),
        after=dict.fromkeys(NAMES, after),
    )


@pytest.fixture
def improved():
    students = (student(0, "distil", after=0.75), student(1, "fine_tune", after=0.55), student(3, "leave"))
    return ImprovedPeers(key="improve_peers/0a1b", chosen_by="own accuracy", students=students)


def test_the_headline_counts_decisions_and_names_the_artifact(improved):
    text = headline(improved).text
    assert "Of 3 students, 1 learned from a teacher, 1 trained on without one, and 1 stayed unchanged." in text
    assert "changes global from 50.0 % to 60.0 %, and own from 50.0 % to 60.0 %." in text
    assert "improve_peers/0a1b" in text


def test_a_terminal_shows_the_artifact_in_80_columns(improved):
    assert terminal_line(improved) == "better peers: improve_peers/0a1b, mean global test 50.0 % to 60.0 %"
    assert len(terminal_line(replace(improved, key="improve_peers/0123456789abcdef"))) <= 80


def test_each_decision_has_words(improved):
    assert [decision_in_words(each) for each in improved.students] == [
        "learned from peer 7",
        "was fine-tuned",
        "stays unchanged",
    ]


def test_the_page_has_a_line_for_each_student_and_says_which_bits_differ(study, findings, improved):
    unlike = replace(improved.students[0], is_reproduced=False)
    shown = replace(improved, students=(unlike, *improved.students[1:]))
    page = render(findings, replace(Study(num_peers=10).facts, improved=shown))
    assert "<code>improve_peers/0a1b</code>" in page
    # Validation and test under Better peers, and test under Verdict.
    assert page.count("&rarr; 75.0 %") == 4 + 2
    assert page.count("&rarr; 55.0 %") == 4 + 2
    assert "stays unchanged</td><td" in page
    assert page.count("not in the bits that were judged") == 1
    assert "chosen by the student's own accuracy on validation" in page.replace("&#39;", "'")
