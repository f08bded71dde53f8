"""What a report says about the settings that peers tried, in rounds of two peers."""

import csv
import io
from dataclasses import replace

import pytest

from peerkd.config.collaborate import CollaborateConfig
from peerkd.reporting.facts import RoundsFacts
from peerkd.reporting.rounds import html, settings
from peerkd.reporting.rounds.findings import MethodRounds, compute_findings
from peerkd.results.rounds import assemble
from tests.pages import Page
from tests.unit.reporting.rounds.test_details import PEERS, facts, row

__all__ = ["facts"]

PORTFOLIO = [{"learning_rate": 0.05}, {}, {"temperature": 2.0, "num_left_out": 1}]


def tried(setting: int, gain: float, *, is_accepted: bool = True) -> dict[str, object]:
    return {"setting": setting, "epochs": 3, "estimated_gain": gain, "is_accepted": is_accepted}


ROWS = [
    row(0, 0, 0.5),
    row(0, 2, 0.3),
    row(1, 0, 0.6, **tried(0, 0.1)),
    row(1, 2, 0.3, **tried(2, -0.02, is_accepted=False)),
    row(2, 0, 0.6, **tried(0, 0.3, is_accepted=False)),
    row(2, 2, 0.3),
    row(3, 0, 0.7, **tried(1, 0.2)),
    row(3, 2, 0.3),
]


def tuned(facts: RoundsFacts, *, num_rounds: int = 3) -> RoundsFacts:
    rounds = {
        "num_rounds": num_rounds,
        "methods": ["predictions"],
        "tune": {"enabled": True, "portfolio": PORTFOLIO},
        "unreliable": [{"kind": "absent", "peer": 2, "first_round": 3, "last_round": 3}],
    }
    return replace(
        facts,
        config=CollaborateConfig.from_mapping(
            {"partition": {"num_peers": 4, "public_fraction": 0.1}, "rounds": rounds}
        ),
    )


def found(rows: list[dict[str, object]]) -> dict[str, MethodRounds]:
    return dict(compute_findings(assemble(rows, methods=("predictions",))))


def test_each_round_of_a_present_peer_has_an_outcome(facts: RoundsFacts) -> None:
    made = settings.attempts(found(ROWS)["predictions"], tuned(facts))
    assert [(each.round, PEERS[each.place], each.outcome) for each in made] == [
        (1, 0, "taken"),
        (1, 2, "worse"),
        (2, 0, "rejected"),
        (2, 2, "omitted"),
        (3, 0, "taken"),
    ]


def test_a_setting_counts_the_trainings_with_it_and_no_gain_of_a_rejected_network(facts: RoundsFacts) -> None:
    rounds = tuned(facts).config.rounds
    one, two, three = settings.uses(settings.attempts(found(ROWS)["predictions"], tuned(facts)), rounds)
    assert (one.words, one.num_tried, one.num_taken, one.mean_gain) == ("learning rate 0.05", 2, 1, pytest.approx(0.05))
    assert (two.words, two.num_in_last_round) == ("as in rounds", 1)
    assert (three.words, three.num_taken) == ("T 2, partners left out 1", 0)
    assert three.mean_gain == pytest.approx(-0.02)


def test_the_table_has_all_values_of_each_training(facts: RoundsFacts) -> None:
    lines = list(csv.DictReader(io.StringIO(settings.settings_csv(found(ROWS), tuned(facts)))))
    assert len(lines) == 5
    assert lines[1] == {
        "method": "predictions",
        "round": "1",
        "peer": "2",
        "setting": "2",
        "learning_rate": "0.02",
        "alpha": "0.9",
        "temperature": "2",
        "sharpening_temperature": "0.5",
        "num_left_out": "1",
        "epochs": "3",
        "estimated_gain": "-0.02",
        "outcome": "worse",
    }
    assert [lines[3][name] for name in ("setting", "estimated_gain", "outcome")] == ["", "", "omitted"]


def test_the_page_has_the_settings_only_if_peers_choose_them(facts: RoundsFacts) -> None:
    text = " ".join(Page(html.render(found(ROWS), tuned(facts))).text)
    assert "Settings that peers tried" in text
    assert "A peer omits a round after repeated losses or at the end of its budget, which happened once." in text
    assert "1 peer 2 T 2, partners left out 1 3 \u22122.0 worse" in text
    untuned = [{name: value for name, value in each.items() if name in row(0, 0, 0.5)} for each in ROWS]
    assert "Settings that peers tried" not in html.render(found(untuned), facts)


def test_a_page_of_many_trainings_stays_small(facts: RoundsFacts) -> None:
    peers = range(100)
    rows = [row(r, peer, 0.5, **(tried(peer % 3, 0.01) if r else {})) for r in range(12) for peer in peers]
    many = tuned(facts, num_rounds=11)
    config = {"partition": {"num_peers": 100, "public_fraction": 0.1}, "rounds": {**many.config.rounds.model_dump()}}
    many = replace(
        many,
        config=CollaborateConfig.from_mapping(config),
        peer_numbers=tuple(peers),
        peers=tuple(f"peer {peer}" for peer in peers),
        networks=("mlp",) * 100,
        num_train_samples=(100,) * 100,
    )
    page = html.render(found(rows), many)
    assert "The last 1,000 of 1,099 are listed." in page
    assert len(page) - len(html.render(found(ROWS), tuned(facts))) < 300_000
