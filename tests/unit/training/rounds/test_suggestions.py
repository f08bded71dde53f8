"""What peers try in a round, given the gains of earlier rounds."""

import numpy as np
import pytest

from peerkd.config.round_tuning import RoundSetting
from peerkd.training.rounds.suggestions import (
    Gain,
    Suggestion,
    choice,
    first_epoch,
    gains_of,
    strengths,
    suggest,
)
from tests.unit.training.rounds.conftest import PEERS, line_config

PORTFOLIO = [{}, {"alpha": 0.6, "learning_rate": 0.5}, {"temperature": 3.0, "epochs": 4}]


def config_of(**rounds: object):
    tune = {"enabled": True, "portfolio": PORTFOLIO}
    return line_config(**{"num_rounds": 6, "epochs": 2, "tune": tune, **rounds})


def test_the_posterior_is_that_of_a_linear_model_with_a_mean_for_each_round() -> None:
    gains = [Gain(1, peer, setting, 1, gain) for peer, (setting, gain) in enumerate([(0, 0.1), (1, 0.3), (1, 0.2)])]
    gains += [Gain(2, peer, setting, 1, gain) for peer, (setting, gain) in enumerate([(0, 0.0), (1, 0.1), (2, -0.1)])]
    mean_S, factor_SS = strengths(gains, num_settings=3, number=3)
    # Written out: theta and the mean of each round are unknown; the means have a prior that is nearly flat.
    prior = np.diag([4.0] * 3 + [1e-9] * 2)
    shift = prior @ np.array([0, -0.15, -0.3, 0, 0])
    precision = prior.copy()
    for round, kept in ((1, 0.85), (2, 1.0)):
        of_round = [each for each in gains if each.round == round]
        values = np.array([each.gain for each in of_round])
        standard = (values - values.mean()) / values.std()
        for each, y in zip(of_round, standard, strict=True):
            x = np.zeros(5)
            x[[each.setting, 2 + round]] = 1
            precision += kept * np.outer(x, x)
            shift += kept * y * x
    covariance = np.linalg.inv(precision)
    np.testing.assert_allclose(mean_S, (covariance @ shift)[:3], atol=1e-6)
    np.testing.assert_allclose(factor_SS @ factor_SS.T, covariance[:3, :3], atol=1e-6)


def test_without_gains_the_order_of_the_portfolio_decides() -> None:
    mean_S, _ = strengths([], num_settings=3, number=1)
    assert mean_S.tolist() == sorted(mean_S, reverse=True)


def test_a_setting_that_gains_more_is_tried_by_all_in_the_last_round() -> None:
    gains = [Gain(round, peer, peer % 3, 2, [0.0, 0.3, 0.1][peer % 3]) for round in (1, 2, 3) for peer in PEERS]
    found = suggest(config_of(), gains, peers=PEERS, number=6)
    # Three of six rounds were omitted, so each peer has the epochs of all of them left.
    assert found == dict.fromkeys(PEERS, Suggestion(1, 6))


def test_suggestions_depend_on_nothing_but_gains_round_and_seed() -> None:
    gains = [Gain(1, peer, peer, 2, 0.1 * peer) for peer in PEERS]
    some = suggest(config_of(), gains, peers=PEERS, number=2)
    # Workers share peers, so what a peer tries must not depend on who else is asked.
    assert {
        **suggest(config_of(), gains, peers=[2], number=2),
        **suggest(config_of(), gains, peers=[0, 1], number=2),
    } == some


def test_no_peer_exceeds_its_budget() -> None:
    config = config_of()
    gains: list[Gain] = []
    for number in range(1, 7):
        found = suggest(config, gains, peers=PEERS, number=number)
        gains += [Gain(number, peer, *each, 0.1) for peer, each in found.items()]
    for peer in PEERS:
        assert sum(each.epochs for each in gains if each.peer == peer) <= 6 * 2
    assert any(each.setting == 2 for each in gains)


def test_a_peer_that_lost_twice_in_a_row_omits_one_round() -> None:
    gains = [Gain(round, peer, 0, 2, -0.1 if peer == 1 else 0.1) for round in (1, 2) for peer in PEERS]
    assert suggest(config_of(), gains, peers=PEERS, number=3).keys() == {0, 2}
    assert suggest(config_of(), gains, peers=PEERS, number=4).keys() == {0, 1, 2}
    # In the last round, what is left of the budget would be lost.
    assert suggest(config_of(num_rounds=3), gains, peers=PEERS, number=3).keys() == {0, 1, 2}


def test_a_choice_has_the_values_of_its_setting_and_of_the_rounds() -> None:
    config = config_of(rampup_rounds=1)
    assert choice(config, Suggestion(1, 2), 1)._asdict() == {
        "temperature": 2.0,
        "sharpening_temperature": 0.4,
        "distillation_weight": pytest.approx(0.3),
        "epochs": 2,
        "learning_rate": 0.5,
        "num_left_out": 0,
    }
    assert choice(config, Suggestion(2, 4), 2).temperature == 3.0


def test_gains_are_read_from_the_rows_that_have_a_setting() -> None:
    row = {"round": 2, "peer": 1, "setting": 0, "epochs": 3, "estimated_gain": 0.5, "is_accepted": True}
    assert gains_of([{"round": 1, "peer": 1}, row | {"setting": None}, row]) == [Gain(2, 1, 0, 3, 0.5)]


def test_a_network_that_was_rejected_has_gained_nothing() -> None:
    row = {"round": 2, "peer": 1, "setting": 0, "epochs": 3, "is_accepted": False}
    gains = gains_of([row | {"estimated_gain": 0.5}, row | {"round": 3, "estimated_gain": -0.1}])
    assert [each.gain for each in gains] == [0, -0.1]


def test_no_epoch_is_used_twice_and_later_ones_are_those_without_tuning() -> None:
    config, spent = config_of(), {1: 1, 2: 5, 3: 1, 5: 4, 6: 2}
    gains: list[Gain] = []
    used: list[range] = []
    for number, epochs in spent.items():
        first = first_epoch(config, gains, peer=1, number=number)
        used.append(range(first, first + epochs))
        gains += [Gain(number, 0, 0, 9, 0.1), Gain(number, 1, 0, epochs, 0.1)]
    # Without tuning, round r begins with the epoch 2 (r - 1).
    assert used == [range(1), range(2, 7), range(7, 8), range(8, 12), range(12, 14)]


def test_settings_change_only_the_fields_that_they_name() -> None:
    rounds = line_config().rounds
    assert rounds.with_setting(RoundSetting(num_left_out=1)) == rounds
    assert rounds.with_setting(RoundSetting(alpha=0.7)) == rounds.model_copy(update={"alpha": 0.7})
