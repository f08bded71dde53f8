"""Rounds of networks that draw random numbers: a round depends on no random number that was drawn before it."""

import pytest
import torch

from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.rounds import ROUND_METHODS
from peerkd.training.peers import build_peer
from peerkd.training.rounds.round import TrainingRound
from tests.unit.training.rounds.conftest import PEERS, line_config, open_data

OWN = "tests.own_networks:WithDropout"


@pytest.mark.parametrize("name", ["alone", "def_kt", "dfml"])
def test_a_round_with_dropout_can_be_repeated(tiny, name: str) -> None:
    values = line_config().model_dump(mode="json")
    values["peers"]["given"] = [{"name": f"p{peer}", "network": OWN} for peer in PEERS]
    config = CollaborateConfig.from_mapping(values)
    data = open_data(config, tiny)
    weights = {peer: build_peer(PeerNetwork(OWN), data.dataset, seed=peer).state_dict() for peer in PEERS}
    outcomes = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        outcomes.append(ROUND_METHODS[name].propose(TrainingRound(config, data, number=2, peers=PEERS), weights))
    first, second = outcomes
    assert first.keys() == second.keys()
    for peer, state in first.items():
        assert all(torch.equal(tensor, second[peer][key]) for key, tensor in state.items())
        assert not all(torch.equal(tensor, weights[peer][key]) for key, tensor in state.items())
