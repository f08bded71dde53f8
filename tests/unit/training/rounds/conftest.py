"""Three peers on digits that exchange along a line: 0 with 1, and 1 with 2."""

from dataclasses import dataclass

import pytest
import torch

from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.rounds.method import Weights
from peerkd.training.peers import build_peer
from peerkd.training.rounds.data import RoundsData

PEERS = (0, 1, 2)

THRESHOLD = 0.122
"""The threshold of IDKD. The networks are untrained, so that no prediction is confident."""


@dataclass(frozen=True)
class Line:
    """The peers with the weights from which they start."""

    config: CollaborateConfig
    data: RoundsData
    weights: dict[int, Weights]


def line_config(**rounds: object) -> CollaborateConfig:
    return CollaborateConfig.from_mapping(
        {
            "seed": 3,
            "partition": {"num_peers": 3, "public_fraction": 0.1},
            "peers": {"architectures": ["mlp"]},
            "rounds": {
                "epochs": 1,
                "batch_size": 48,
                "learning_rate": 0.05,
                "topology": {"kind": "edges", "edges": [[0, 1], [2, 1]]},
                "alpha": 0.3,
                "pairwise_alpha": 0.2,
                "temperature": 2.0,
                "distribution_alignment": False,
                "trimmed_fraction": 0.0,
                "sharpening_temperature": 0.4,
                "proximal_weight": 0.5,
                "confidence_threshold": THRESHOLD,
                **rounds,
            },
        }
    )


def open_data(config: CollaborateConfig, tiny) -> RoundsData:
    return RoundsData(config, dataset_folder=tiny.dataset, partition_folder=tiny.partition, device=torch.device("cpu"))


@pytest.fixture(scope="session")
def line(tiny) -> Line:
    config = line_config()
    data = open_data(config, tiny)
    weights = {peer: build_peer(PeerNetwork("mlp"), data.dataset, seed=peer).state_dict() for peer in PEERS}
    return Line(config, data, weights)
