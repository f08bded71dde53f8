"""What a report on rounds says about costs, teachers and classes, on a table of two peers and two rounds."""

import csv
import io
from dataclasses import replace
from typing import Any

import pytest

from peerkd.config.collaborate import CollaborateConfig
from peerkd.reporting.facts import RoundsFacts
from peerkd.reporting.rounds import details, html, tables, verdict
from peerkd.reporting.rounds.findings import MethodRounds, compute_findings
from peerkd.results.rounds import MAX_TEACHERS, assemble

PEERS = (0, 2)
"""Peer 1 diverged before the first round."""


def row(round: int, peer: int, accuracy: float, **values: Any) -> dict[str, Any]:
    names = ("validation_global", "validation_own", "test_global", "test_own")
    spent = 100 if round else 0
    return {
        "method": "predictions",
        "round": round,
        "peer": peer,
        **{f"{name}_accuracy": accuracy for name in names},
        **dict.fromkeys(("sent_bytes", "received_bytes", "num_own_samples", "num_public_samples"), spent),
        "is_accepted": True,
        "test_class_accuracies": [accuracy - 0.1, accuracy + 0.1, None],
        **values,
    }


ROWS = [
    row(0, 0, 0.5),
    row(0, 2, 0.3),
    row(1, 0, 0.6, teachers=[2, 0], teacher_shares=[0.75, 0.25]),
    row(1, 2, 0.3, teachers=[2, 0], teacher_shares=[0.9, 0.1], is_accepted=False),
    row(2, 0, 0.7, teachers=[0, 2], teacher_shares=[0.75, 0.25]),
    row(2, 2, 0.5, teachers=[0, 2], teacher_shares=[0.6, 0.4], test_class_accuracies=[0.1, 0.9, None]),
]


@pytest.fixture
def facts() -> RoundsFacts:
    config = {"partition": {"num_peers": 3, "public_fraction": 0.1}}
    return RoundsFacts(
        config_fingerprint="c0ffee",
        fingerprints={},
        versions={"peerkd": "0.1.0"},
        device="cpu",
        machine="2 cores",
        class_names=("cat", "dog", "fox"),
        num_validation_samples=90,
        num_test_samples=150,
        config=CollaborateConfig.from_mapping({**config, "rounds": {"num_rounds": 2, "methods": ["predictions"]}}),
        peer_numbers=PEERS,
        peers=("peer 0", "peer 2"),
        networks=("mlp",) * 2,
        num_train_samples=(100, 200),
        num_public_samples=50,
    )


def found(rows: list[dict[str, Any]] = ROWS) -> dict[str, MethodRounds]:
    return dict(compute_findings(assemble(rows, methods=("predictions",))))


def test_only_what_a_peer_accepted_counts_as_taught(facts: RoundsFacts) -> None:
    first, second = details.taught(found()["predictions"], facts)
    assert (first.peer, first.num_rounds, first.own_share) == ("peer 0", 2, pytest.approx(0.5))
    assert (first.teachers, first.in_first_round) == ("peer 2 50 %", "peer 2 75 %")
    assert (second.num_rounds, second.own_share, second.in_first_round) == (1, pytest.approx(0.4), "rejected")
    assert second.teachers == "peer 0 60 %"


def test_a_class_gains_and_loses_as_a_mean_over_peers(facts: RoundsFacts) -> None:
    changes = details.class_changes(found()["predictions"], facts)
    # A class without samples is omitted. Peer 2 loses on cats: from 20 to 10 %.
    assert [each.name for each in changes] == ["dog", "cat"]
    assert [each.change for each in changes] == pytest.approx([0.35, 0.05])
    assert [(each.num_gained, each.num_lost) for each in changes] == [(2, 0), (1, 1)]


def test_methods_are_compared_at_the_cost_of_the_first_one() -> None:
    slow = [each | {"method": "fedavg", "sent_bytes": 3 * each["sent_bytes"]} for each in ROWS]
    both = dict(compute_findings(assemble([*ROWS, *slow], methods=("predictions", "fedavg"))))
    joint, fedavg = details.at_equal_cost(both)
    assert (joint.at_samples, joint.at_bytes) == pytest.approx((0.6, 0.6))
    # All rounds of the first method cost less than one of the second.
    assert (fedavg.at_samples, fedavg.at_bytes) == pytest.approx((0.6, 0.4))
    assert [len(chart.series) for chart in (details.samples_chart(both), details.bytes_chart(both))] == [2, 2]
    assert details.bytes_chart(both).x.high == 600 / 1024


def test_the_highest_mean_leads_and_the_upper_bound_does_not_compete(facts: RoundsFacts) -> None:
    methods = ("predictions", "fedavg", "pooled", "alone")
    rows = [
        each | {"method": name, "test_global_accuracy": min(1, each["test_global_accuracy"] + more)}
        for name, more in zip(methods, (0.1, 0.1, 0.3, 0.0), strict=True)
        for each in ROWS
    ]
    several = dict(compute_findings(assemble(rows, methods=methods)))
    assert verdict.leaders(several) == ["predictions", "fedavg"]
    assert list(verdict.sentences(several, facts)) == [
        "With joint distillation, the mean accuracy of 2 peers goes from 50.0 % to 70.0 % in 2 rounds.",
        "The highest mean is 70.0 %, with joint distillation and FedAvg; training alone reaches 60.0 %; pooled "
        "training, an upper bound, reaches 90.0 %.",
        "A peer sends 200 bytes in all rounds with joint distillation, and 200 bytes with FedAvg.",
    ]
    assert verdict.leaders(found()) == []
    assert len(list(verdict.sentences(found(), facts))) == 2


def test_the_tables_have_every_teacher_and_class(facts: RoundsFacts) -> None:
    teachers = list(csv.DictReader(io.StringIO(tables.teachers_csv(found(), PEERS))))
    assert len(teachers) == 8
    assert list(teachers[2].values()) == ["predictions", "1", "2", "2", "0.9", "false"]
    classes = list(csv.DictReader(io.StringIO(tables.classes_csv(found(), facts.class_names))))
    assert [row["mean_test_accuracy"] for row in classes[-3:]] == ["0.35", "0.85", ""]
    text = tables.terminal_summary(found(), facts)
    assert "2 of 2 classes gain with joint distillation;" in text
    assert "change in points from cat +5.0 to dog +35.0" in text


def test_a_table_of_an_earlier_version_has_a_report_without_teachers_and_classes(facts: RoundsFacts) -> None:
    old = found([{name: value for name, value in each.items() if name in ROWS[0]} for each in ROWS])
    assert "Who taught whom" not in html.render(old, facts)
    bare = found(
        [
            {name: value for name, value in each.items() if not name.startswith(("teacher", "test_class"))}
            for each in ROWS
        ]
    )
    assert details.class_changes(bare["predictions"], facts) == []
    assert "Classes" not in html.render(bare, facts)
    assert "classes gain" not in tables.terminal_summary(bare, facts)
    assert "Who taught whom" in html.render(found(), facts)


@pytest.mark.parametrize(
    ("defence", "sentence"),
    [
        ({"trimmed_fraction": 0}, "There was no defence against lies."),
        ({"trimmed_fraction": 0.2}, "Against lies, predictions were joined with a trimmed mean of 20 %."),
        (
            {"trimmed_fraction": 0.25, "distribution_alignment": True},
            "Against lies, predictions were joined with distribution alignment and a trimmed mean of 25 %.",
        ),
    ],
)
def test_the_accuracy_of_reliable_peers_is_reported_apart(
    facts: RoundsFacts, defence: dict[str, Any], sentence: str
) -> None:
    lie = {"kind": "flipped_labels", "peer": 2}
    rounds = {
        "num_rounds": 2,
        "methods": ["predictions"],
        "unreliable": [lie],
        "distribution_alignment": False,
        **defence,
    }
    config = CollaborateConfig.from_mapping({"partition": {"num_peers": 3, "public_fraction": 0.1}, "rounds": rounds})
    facts = replace(facts, config=config)
    assert html.unreliable_peers(found()["predictions"], facts) == (
        f"In some rounds, these peers lied: peer 2 (flipped labels). {sentence} The mean accuracy of the other peers "
        "goes from 50.0 % to 70.0 %."
    )
    said = " ".join(html.conventions(facts))
    assert ("joined by a trimmed mean: " in said) == (defence["trimmed_fraction"] > 0)
    assert ("(distribution alignment)" in said) == ("distribution_alignment" in defence)
    assert "sharpened with the temperature 0.5" in said


@pytest.mark.parametrize(
    ("methods", "unreliable", "text"),
    [
        (
            ["predictions"],
            [{"peer": 0}, {"kind": "flipped_labels", "peer": 2}],
            "In some rounds, these peers were absent or lied: peer 0 (absent), peer 2 (flipped labels). Against lies, "
            "predictions were joined with distribution alignment and a trimmed mean of 20 %. No peer was reliable in "
            "all rounds.",
        ),
        (
            ["alone", "predictions"],
            [{"peer": 2}, {"kind": "flipped_labels", "peer": 0}],
            "In some rounds, these peers were absent: peer 2 (absent). The mean accuracy of the other peers goes from "
            "50.0 % to 70.0 %.",
        ),
        (["alone", "predictions"], [{"kind": "flipped_labels", "peer": 0}], ""),
        # Peer 1 diverged, so it takes part in no round.
        (["predictions"], [{"kind": "flipped_labels", "peer": 1}], ""),
    ],
)
def test_only_what_has_happened_is_said_of_unreliable_peers(
    facts: RoundsFacts, methods: list[str], unreliable: list[dict[str, Any]], text: str
) -> None:
    rounds = {"num_rounds": 2, "methods": methods, "unreliable": unreliable}
    config = CollaborateConfig.from_mapping({"partition": {"num_peers": 3, "public_fraction": 0.1}, "rounds": rounds})
    assert html.unreliable_peers(found()["predictions"], replace(facts, config=config)) == text


def test_a_round_without_a_training_is_no_proposal(facts: RoundsFacts) -> None:
    untrained = [
        each | ({"num_own_samples": 0, "num_public_samples": 0} if (each["round"], each["peer"]) == (2, 0) else {})
        for each in ROWS
    ]
    assert (found()["predictions"].num_proposals, found(untrained)["predictions"].num_proposals) == (4, 3)
    said = dict(html.headline(found(untrained), facts))
    assert said["Own data"].endswith("They rejected 1 of 3 proposals.")
    assert "  joint distillation 1 of 3" in tables.terminal_summary(found(untrained), facts).splitlines()


def test_the_page_says_that_teachers_are_omitted(facts: RoundsFacts) -> None:
    def with_teachers(total: float) -> dict[str, MethodRounds]:
        many = {"teachers": [*range(MAX_TEACHERS)], "teacher_shares": [total / MAX_TEACHERS] * MAX_TEACHERS}
        return found([*ROWS[:3], ROWS[3] | many, *ROWS[4:]])

    sentence = "If a peer has more than 100 teachers in a round, the table of rounds lists only the peer itself"
    assert sentence in html.render(with_teachers(0.9), facts)
    for whole in (found(), with_teachers(1.0)):
        assert sentence not in html.render(whole, facts)


@pytest.mark.parametrize(("methods", "has_exception"), [(["fedavg", "alone"], False), (["fedavg", "pooled"], True)])
def test_the_conventions_name_the_method_that_they_do_not_hold_for(
    facts: RoundsFacts, methods: list[str], has_exception: bool
) -> None:
    rounds = {"methods": methods, "max_own_drop": 0.02}
    config = CollaborateConfig.from_mapping({"partition": {"num_peers": 3, "public_fraction": 0.1}, "rounds": rounds})
    first, *_, last = html.conventions(replace(facts, config=config))
    assert ("except pooled training" in first) == has_exception
    assert last.endswith("This limit does not apply to pooled training.") == has_exception
