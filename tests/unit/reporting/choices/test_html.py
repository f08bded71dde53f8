import re

import pytest

from peerkd.reporting.choices.html import SECTIONS, render
from peerkd.reporting.choices.tables import plan_csv, terminal_summary
from tests.pages import Page, check_that_it_needs_nothing_from_elsewhere
from tests.tables import Study
from tests.unit.reporting.choices.conftest import ROWS, row


@pytest.fixture(scope="module")
def facts():
    return Study(num_peers=3).facts


@pytest.fixture(scope="module")
def page(concluded, facts):
    return render(concluded, facts)


def test_the_page_has_every_section_once_and_balanced_tags(page):
    ids = Page(page).ids
    assert len(ids) == len(set(ids))
    for name, title in SECTIONS.items():
        assert name in ids
        assert f">{title}</h2>" in page


def test_the_page_needs_nothing_from_elsewhere(page):
    check_that_it_needs_nothing_from_elsewhere(page)


def test_the_page_shows_the_plan_the_settings_and_what_was_not_tried(page):
    text = " ".join(" ".join(Page(page).text).split())
    assert "+3.0 (\N{MINUS SIGN}1.0 to +7.0) +2.0" in text
    assert "T=1, alpha=0.5" in text
    assert page.count('<figure class="heat">') == 4  # settings, expected, measured, trials
    assert "For 1 more pair of peers, neither peer gains from the other." in text
    assert page.count("<small>leave</small>") == 3
    assert len(re.findall(r'<td class="setting muted">4 / 0.9<small>both</small>', page)) == 1
    assert "48,700" in text


def test_a_long_list_of_settings_that_were_not_tried_is_folded(page, conclude, facts):
    folded = "The settings that were never tried"
    assert folded not in page
    untried = tuple(f"transfer set student, T={temperature}, alpha=0.5" for temperature in range(1, 8))
    long = render(conclude(untried=untried), facts)
    assert folded in long
    assert long.count(untried[-1]) == 1


def test_the_verdict_names_who_learns_from_whom_and_the_cost(page, concluded):
    text = " ".join(" ".join(Page(page).text).split())
    assert (
        "1 peer should learn from a teacher (peer 0 from peer 1). 2 peers should be left unchanged (peer 1, peer 2). "
        "With the published networks, the mean accuracy on test goes from "
    ) in text
    assert (
        "In 0 of 6 ordered pairs, each judged alone, training on without a teacher pays off, and in 3 nothing" in text
    )
    assert "It took 9 trials, 4.87 % of the cost of the full sweep, to know." in text
    assert text.count("no interval can be given") == 1
    assert "A solid arrow leads to the peer that should learn, from its teacher." in text
    assert f"A dashed arrow is not advice ({concluded.num_distilled - 1} pairs)" in text


def test_a_study_without_trials_has_a_page_too(conclude, facts):
    rows = [row(student, teacher) for student in range(3) for teacher in range(3) if student != teacher]
    page = render(conclude(rows, curve=()), facts)
    assert Page(page).open == []
    assert "In no pair does learning from the teacher pay off" in page
    assert "more pairs of peers" not in page
    assert "The study had no iteration." in page


def test_the_table_of_the_front_shows_both_accuracies(page):
    text = " ".join(" ".join(Page(page).text).split())
    assert "0 this study +4.0 \N{MINUS SIGN}2.0 +3.0 \N{MINUS SIGN}3.0 3 0.5 +3.0 +1.0 +2.0 0.0 3" in text


def test_a_terminal_shows_the_plan(concluded, facts):
    lines = terminal_summary(concluded, facts).splitlines()
    assert lines[0].endswith("1 of 3 peers should learn from a teacher; the study cost 4.87 % of a full sweep")
    assert lines[1].startswith("  loss: KL divergence, reduction batchmean, ")
    assert lines[2] == "  1 peer should learn from a teacher (peer 0 from peer 1)."
    assert lines[3] == "  2 peers should be left unchanged (peer 1, peer 2)."
    assert lines[-3] == (
        "     +6.0  peer 1 from peer 2 with transfer set both, T=4, alpha=0.9 (overruled: peer 1 should stay unchanged)"
    )
    assert lines[-1].startswith("better peers: improve_peers/0123456789abcdef, ")


def test_no_place_advises_a_teacher_that_the_answer_of_the_peer_overrules(page, concluded, facts):
    """Peers 1 and 2 stay unchanged, although two pairs of peer 1 pay if they are judged alone."""
    terminal = terminal_summary(concluded, facts)
    for text in (terminal, " ".join(Page(page).text)):
        words = " ".join(text.split())
        assert "1 peer should learn from a teacher (peer 0 from peer 1)." in words
        assert "peer 1 should learn from" not in words
        assert "overruled: peer 1 should stay unchanged" in words
        assert "The decision for one student differs from those for its pairs (peer 1): a pair is judged" in words
    assert "pairs in which learning pays off, each judged alone, largest expected gain first" in terminal
    assert terminal.index("peer 0: learn from peer 1") < terminal.index("pairs in which learning pays off")
    assert "The interval of the expected gain of one pair is a 90 % interval" in page


def test_settings_name_their_learning_rate_if_there_are_several(conclude):
    setting = {"transfer_set": "both", "temperature": 4.0, "alpha": 0.9, "distillation_weight": 0.9}
    rows = (
        row(0, 1, setting={**setting, "learning_rate": 0.08}, trials=3, epochs=3, seen=0.05, predicted=0.04, test=0.03),
        row(1, 0, predicted=0.0),
    )
    found = conclude(rows)
    facts = Study(num_peers=2, learning_rates=(0.02, 0.08)).facts
    page, text = render(found, facts), terminal_summary(found, facts)
    assert '<th scope="col" class="num">learning rate</th>' in page
    assert '<td class="num">0.9</td><td class="num">0.08</td>' in page
    assert "<small>both, 0.08</small>" in page
    assert "learning rate 0.02, 0.08; transfer set student, teacher, both; and the untuned default" in page
    assert "peer 0 should learn from peer 1 with transfer set both, T=4, alpha=0.9, learning rate 0.08" in text
    (header, line) = plan_csv(found).splitlines()
    assert dict(zip(header.split(","), line.split(","), strict=True))["learning_rate"] == "0.08"


def test_settings_name_their_loss_and_target_if_there_are_several(conclude):
    setting = {"transfer_set": "both", "temperature": 4.0, "alpha": 0.9, "distillation_weight": 0.9}
    named = {**setting, "loss": "dkd", "target": "class_counts+prior_adjusted"}
    rows = (
        row(0, 1, setting=named, trials=3, epochs=3, seen=0.05, predicted=0.04, test=0.03),
        row(1, 0, predicted=0.0),
    )
    found = conclude(rows)
    facts = Study(num_peers=2, losses=("kl", "dkd"), targets=("teacher", "class_counts+prior_adjusted")).facts
    page, text = render(found, facts), terminal_summary(found, facts)
    assert '<th scope="col" class="num">loss</th><th scope="col" class="num">target</th>' in page
    assert '<td class="num">dkd</td><td class="num">class_counts+prior_adjusted</td>' in page
    assert "<small>both, dkd, class_counts+prior_adjusted</small>" in page
    assert "T=4, alpha=0.9, loss dkd, target class_counts+prior_adjusted" in text
    (header, line) = plan_csv(found).splitlines()
    values = dict(zip(header.split(","), line.split(","), strict=True))
    assert (values["loss"], values["target"]) == ("dkd", "class_counts+prior_adjusted")


def test_without_several_rates_no_column_for_them_exists(concluded, page):
    assert "learning_rate" not in plan_csv(concluded)
    assert '<th scope="col" class="num">learning rate</th>' not in page


def test_a_student_that_should_train_on_is_no_student_to_leave(conclude, facts):
    rows = [{**ROWS[0], "decision": "fine_tune"}, *ROWS[1:]]
    page = render(conclude(rows), facts)
    assert (page.count("<small>train on</small>"), page.count("<small>leave</small>")) == (1, 3)


def test_a_plan_that_chooses_epochs_says_after_which_to_stop(conclude, facts):
    findings = conclude([{**ROWS[0], "epochs": 7}, *ROWS[1:]], chooses_epochs=True)
    assert "stop after, epochs" in render(findings, facts)
    assert "T=4, alpha=0.9, for 7 epochs" in terminal_summary(findings, facts)


def test_the_page_names_the_value_beyond_an_edge_that_most_choices_have(conclude, facts):
    text = " ".join(" ".join(Page(render(conclude(), facts)).text).split())
    assert "3 of 3 pairs choose alpha 0.9, the largest that was tried: add 0.95 to sweep.alphas." in text
    nobody = [{**each, "decision": "leave"} for each in ROWS]
    assert "sweep.alphas" not in render(conclude(nobody), facts)
    inner = [{**each, "alpha": 0.5} if each["alpha"] else each for each in ROWS]
    assert "sweep.alphas" not in render(conclude(inner), facts)


@pytest.mark.parametrize(("loss", "is_named"), [("kl", True), ("dts", False)])
def test_a_temperature_that_the_loss_sets_is_no_edge_and_has_no_number(conclude, facts, loss, is_named):
    rows = [{**each, "temperature": 1.0, "loss": loss} if each["alpha"] else each for each in ROWS]
    page = render(conclude(rows), facts)
    assert ("to sweep.temperatures" in page) == is_named
    assert ("own T / 0.9" in page) != is_named
