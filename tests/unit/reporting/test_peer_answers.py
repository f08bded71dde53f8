"""One answer for each peer, the same in all places that answer who should learn from whom."""

from dataclasses import replace

import pytest

from peerkd.reporting.html import render
from peerkd.reporting.model_card import CardSetting
from peerkd.reporting.peer_answers import answer_of, answers, data_in_words, decided_pairs, terminal_lines
from peerkd.reporting.tables import summary, terminal_summary
from peerkd.reporting.verdict import by_student, count_who_learns, verdict
from peerkd.study.objective import Objective
from peerkd.study.splits import EvaluationSets, NumSamples
from peerkd.study.transfer_sets import TRANSFER_SETS
from tests.pages import Page
from tests.tables import Study

NAMES = ("drone", "garden", "kitchen", "phone")


def trained(peer, decision, teacher, *, own=(0.6, 0.6)):
    setting = {
        "distil": f"learned from {NAMES[teacher]} with transfer set both, T=1, alpha=0.1",
        "fine_tune": f"was fine-tuned without a teacher on transfer set both of {NAMES[teacher]}",
    }[decision]
    before, after = (
        {f"{split}_{scope}_accuracy": value for split in ("validation", "test") for scope, value in values.items()}
        for values in ({"global": 0.4, "own": own[0]}, {"global": 0.5, "own": own[1]})
    )
    return replace(peer, decision=decision, teacher=teacher, setting=setting, before=before, after=after)


@pytest.fixture(scope="module")
def cameras():
    """Four cameras with small own sets: one learns, two train on, of which one loses at home, and one stays."""
    facts = Study(num_peers=4).facts
    peers = facts.improved.students
    students = (
        replace(peers[0], decision="leave", teacher=None, setting=None, after=peers[0].before),
        trained(peers[1], "fine_tune", 2, own=(0.6, 0.58)),
        trained(peers[2], "distil", 1),
        trained(peers[3], "fine_tune", 1, own=(0.61, 0.50)),
    )
    sets = (EvaluationSets(validation=NumSamples(120, 27), test=NumSamples(300, 27)),) * 4
    return replace(facts, names=NAMES, improved=replace(facts.improved, students=students), evaluation_sets=sets)


def test_each_peer_has_one_answer_with_its_gain_and_both_accuracies(cameras):
    found = answers(cameras, Objective())
    assert [(each.name, each.words) for each in found] == [
        ("kitchen", "learn from garden"),
        ("garden", "train on, without a teacher, on its own data and that of kitchen"),
        ("phone", "train on, without a teacher, on its own data and that of garden"),
        ("drone", "stay unchanged"),
    ]
    assert [each.words for each in found] == [answer_of(cameras, each.student) for each in found]
    assert found[0].validation_gain == pytest.approx(0.1)
    assert (found[2].before, found[2].after) == ((0.4, 0.61), (0.5, 0.5))
    assert decided_pairs(cameras) == [(2, 1)]
    assert answers(cameras, Objective(own_weight=1.0))[2].validation_gain == pytest.approx(-0.11)


def test_a_loss_at_home_counts_if_it_exceeds_the_noise_of_validation_and_test_together(cameras):
    """One standard deviation of the difference of 61 % and 50 % is 9.5 points with 54 samples, and 11.04 with 40."""
    assert [each.name for each in answers(cameras, Objective()) if each.loses_at_home] == ["phone"]
    (phone,) = (each for each in answers(cameras, Objective()) if each.name == "phone")
    assert phone.own_variance == pytest.approx((0.61 * 0.39 + 0.25) / 54)
    sizes = NumSamples(120, 20)
    smaller = replace(cameras, evaluation_sets=(EvaluationSets(validation=sizes, test=sizes),) * 4)
    assert not any(each.loses_at_home for each in answers(smaller, Objective()))


def test_the_verdict_states_the_loss_at_home_and_the_field_that_limits_it(cameras):
    tuned, swept = (" ".join(by_student(cameras, Objective(), is_tuned=is_tuned)) for is_tuned in (True, False))
    for text in (tuned, swept):
        assert "(garden with data of kitchen, phone with data of garden)" in text
        assert "own sets. The accuracy on own data falls by more than noise for 1 peer (phone); tune.max" in text
    assert "tune.max_own_drop limits this loss." in tuned
    assert "tune.max_own_drop limits this loss in a tuned study (--strategy tune)." in swept
    falling = tuple(
        each if each.decision == "leave" else replace(each, after={**each.after, "test_own_accuracy": 0.45})
        for each in cameras.improved.students
    )
    facts = replace(cameras, improved=replace(cameras.improved, students=falling))
    assert "falls by more than noise on average over peers and for 1 peer (phone)" in " ".join(verdict(facts))
    unharmed = replace(cameras, improved=replace(cameras.improved, students=cameras.improved.students[:3]))
    assert "max_own_drop" not in " ".join(verdict(unharmed))


@pytest.mark.parametrize("kind", TRANSFER_SETS)
@pytest.mark.parametrize("temperature", [None, 1.0], ids=["fine-tuned", "old self"])
def test_the_data_are_those_of_the_transfer_set_in_the_words_of_a_card(cameras, kind, temperature):
    """A training without a teacher may use the data of another peer."""
    facts = TRANSFER_SETS[kind]
    setting = CardSetting(
        teacher=2 if facts.depends_on_teacher else None,
        transfer_set=kind,
        temperature=temperature,
        alpha=0.1,
        distillation_weight=0.1 if temperature else 0.0,
        learning_rate=0.02,
        epochs=3,
        num_transfer_samples=100,
        target="student" if temperature else None,
        teacher_name="kitchen",
    )
    changes = {"decision": "fine_tune", "teacher": setting.teacher, "setting": setting.in_words()}
    text = data_in_words(replace(cameras.improved.students[1], **changes), NAMES)
    used = facts.sources if temperature else facts.labelled_sources
    assert ("its own data" in text) == ("student" in used)
    assert ("kitchen" in text) == ("teacher" in used)
    assert ("the public data" in text) == ("public" in used)


def test_a_terminal_shows_the_answers_in_80_columns_before_the_means(cameras, study, findings):
    lines = terminal_lines(answers(cameras, Objective()))
    assert [line.partition(":")[0].strip() for line in lines[1:4]] == ["kitchen", "garden", "phone"]
    assert " ".join(lines[3].split()) == "phone: train on with data of garden (!) +10.0 40.0 to 50.0 61.0 to 50.0"
    assert lines[-1] == "  (!) own accuracy, on validation and test together, falls by more than noise"
    assert max(map(len, lines)) <= 80
    text = terminal_summary(findings, study.facts)
    assert text.index("peer 0: learn from peer 1") < text.index("mean global gain")
    assert terminal_lines([each for each in answers(cameras, Objective()) if each.decision == "leave"]) == []
    assert terminal_lines(answers(cameras, Objective())[:3] * 2)[-1] == "  and 1 more peer, which the page lists"


def test_no_place_of_a_sweep_advises_a_teacher_that_the_answer_of_the_peer_overrules(study, findings):
    """Peer 0 should learn from peer 1, and all others stay unchanged, although many pairs pay if judged alone."""
    page = " ".join(Page(render(findings, study.facts)).text)
    for text in (terminal_summary(findings, study.facts), page):
        words = " ".join(text.split())
        assert "1 peer should learn from a teacher (peer 0 from peer 1)." in words
        assert not any(f"peer {peer} should learn from" in words for peer in range(1, 10))
        assert "from those for their pairs (" in words
    assert "A solid arrow leads to the peer that should learn, from its teacher." in page
    assert "A dashed arrow is not advice (" in page


def test_lists_of_runs_count_peers(study, findings):
    assert count_who_learns(study.facts) == "1 of 10 peers should learn from a teacher"
    assert summary(findings, study.facts)["num_peers_to_distil"] == 1.0
