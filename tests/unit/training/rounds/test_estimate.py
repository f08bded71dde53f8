"""The accuracy that a peer estimates, and the method ``predictions`` in which peers choose settings by it."""

import numpy as np
import pytest
import torch

from peerkd.config.given_peers import PeerNetwork
from peerkd.losses.targets.target import Prediction, joined_logits
from peerkd.rounds import ROUND_METHODS
from peerkd.rounds.tuned_predictions import kept
from peerkd.training.rounds.estimate import estimated_accuracies
from peerkd.training.rounds.round import TrainingRound
from peerkd.training.rounds.run import before_rounds, do_round
from peerkd.training.rounds.suggestions import Suggestion, choice
from tests.unit.training.rounds.conftest import PEERS, Line, line_config, open_data

MLP = PeerNetwork("mlp")


def tuned(portfolio: list[dict], **rounds: object):
    return line_config(**{"num_rounds": 3, "tune": {"enabled": True, "portfolio": portfolio}, **rounds})


def predicted(line: Line, state, images_NCHW) -> np.ndarray:
    network = line.data.network(MLP)
    network.load_state_dict(state)
    with torch.no_grad():
        return network.eval()(images_NCHW).argmax(-1).numpy()


def test_the_estimate_is_the_mean_over_classes_of_own_or_public_accuracy(line: Line, monkeypatch) -> None:
    data, peer = line.data, 1
    public_NCHW = torch.cat([*data.public_images()])
    target_SK = torch.randn(len(public_NCHW), 10, generator=torch.Generator().manual_seed(0))
    own_N = data.assignment.own_validation[peer]
    mean, std = (
        torch.tensor(each).reshape(1, -1, 1, 1) for each in (data.dataset.channel_mean, data.dataset.channel_std)
    )
    own_NCHW = (torch.from_numpy(data.dataset.read_images(own_N)).float() / 255 - mean) / std
    states = {0: [line.weights[1]], peer: [line.weights[0], line.weights[2]]}
    reference_logits = {0: -target_SK, peer: target_SK}
    reads, read = [], data.public_images
    monkeypatch.setattr(data, "public_images", lambda: reads.append(1) or read())
    values = estimated_accuracies(data, [MLP] * 3, states, reference_logits=reference_logits, precision="float32")[peer]
    assert len(reads) == 1, "the public set is read once for all peers"
    sources = set()
    for state, value in zip((line.weights[0], line.weights[2]), values, strict=True):
        of_own, of_public = predicted(line, state, own_NCHW), predicted(line, state, public_NCHW)
        accuracies = []
        for k in range(10):
            is_own = data.dataset.labels_N[own_N] == k
            is_public = target_SK.argmax(-1).numpy() == k
            if is_own.sum() >= 5:
                accuracies.append((of_own[is_own] == k).mean())
            elif is_public.any():
                accuracies.append((of_public[is_public] == k).mean())
            sources.add("own" if is_own.sum() >= 5 else "public")
        assert value == pytest.approx(np.mean(accuracies), abs=1e-9)
    assert sources == {"own", "public"}


def test_a_single_setting_without_changes_trains_like_a_round_without_tuning(line: Line, tiny) -> None:
    history = before_rounds(line.config, line.data, line.weights)
    plain, _ = do_round(line.config, line.data, ROUND_METHODS["predictions"], line.weights, history, number=1)
    config = tuned([{}])
    after, rows = do_round(
        config, open_data(config, tiny), ROUND_METHODS["predictions"], line.weights, history, number=1
    )
    assert any(row["is_accepted"] for row in rows)
    for row in rows:
        expected = plain if row["is_accepted"] else line.weights
        assert all(torch.equal(after[row["peer"]][name], each) for name, each in expected[row["peer"]].items())
        assert row["is_accepted"] == (row["estimated_gain"] >= 0)
        assert (row["setting"], row["epochs"]) == (0, config.rounds.epochs)


def test_a_setting_changes_the_training_as_the_same_fields_do(line: Line, tiny) -> None:
    setting = {"alpha": 0.6, "temperature": 1.5, "sharpening_temperature": 0.7, "learning_rate": 0.1, "epochs": 2}
    history = before_rounds(line.config, line.data, line.weights)
    for config in (tuned([setting], epochs=2), line_config(**setting)):
        data = open_data(config, tiny)
        round = TrainingRound(config, data, number=1, peers=PEERS)
        if round.choices is None:
            expected = ROUND_METHODS["predictions"].propose(round, line.weights)
    after, rows = do_round(
        tuned([setting], epochs=2), data, ROUND_METHODS["predictions"], line.weights, history, number=1
    )
    assert any(row["is_accepted"] for row in rows)
    for row in rows:
        if row["is_accepted"]:
            assert all(torch.equal(after[row["peer"]][name], each) for name, each in expected[row["peer"]].items())


def test_a_peer_keeps_its_network_if_training_destroys_it(line: Line, tiny) -> None:
    config = tuned([{"learning_rate": 1e9}])
    history = before_rounds(config, line.data, line.weights)
    data = open_data(config, tiny)
    after, rows = do_round(config, data, ROUND_METHODS["predictions"], line.weights, history, number=1)
    for row in rows:
        if row["estimated_gain"] < 0:
            assert not row["is_accepted"]
            assert all(torch.equal(after[row["peer"]][name], each) for name, each in line.weights[row["peer"]].items())
    assert any(row["estimated_gain"] < 0 for row in rows)


class JudgedRound(TrainingRound):
    """A round that keeps what it is asked to do, and trains nothing."""

    def train_if_better(self, starts, teachings, *, reference_logits):
        self.teachings, self.reference_logits = teachings, reference_logits
        return {}


def test_all_settings_are_judged_by_one_prediction(line: Line, tiny) -> None:
    config = tuned([{}, {"temperature": 9.0}, {"num_left_out": 1}], topology={"kind": "complete"})
    round = JudgedRound(config, open_data(config, tiny), number=1, peers=PEERS)
    round.choices = {peer: choice(config, Suggestion(peer, 1), 1) for peer in PEERS}
    assert ROUND_METHODS["predictions"].propose(round, line.weights) == {}
    predicted = [*round.predict(line.weights).values()]
    expected = joined_logits(
        config.rounds.target.pair_target,
        predicted,
        temperature=config.rounds.temperature,
        prior_adjusted=config.rounds.target.prior_adjusted,
        is_aligned=False,
        trimmed_fraction=0.0,
    )
    for peer in PEERS:
        assert torch.equal(round.reference_logits[peer], expected)
    learned = [round.teachings[peer].target_logits_SK for peer in PEERS]
    assert torch.equal(learned[0], expected / config.rounds.sharpening_temperature)
    assert not torch.equal(learned[1], learned[0])
    assert not torch.equal(learned[2], learned[0])


def test_the_partners_that_agree_least_are_left_out() -> None:
    joined_SK = torch.eye(4)
    agreeing = Prediction(torch.eye(4), torch.ones(4))
    others = {0: agreeing, 1: agreeing, 2: Prediction(torch.eye(4).flip(0), torch.ones(4)), 3: agreeing}
    others[3] = replace_rows(agreeing)
    options = {"peer": 0, "peers": (0, 1, 2, 3)}
    assert kept(others, joined_SK, num_left_out=1, **options) == (0, 1, 3)
    assert kept(others, joined_SK, num_left_out=2, **options) == (0, 1)
    # One partner is always kept.
    assert kept(others, joined_SK, num_left_out=9, **options) == (0, 1)


def replace_rows(prediction: Prediction) -> Prediction:
    logits_BK = prediction.logits_BK.clone()
    logits_BK[0] = logits_BK[1]
    return prediction._replace(logits_BK=logits_BK)
