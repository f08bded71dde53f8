"""The edges between the partners of a round, as the config and the seed determine them."""

from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.round_partners import (
    CompleteTopology,
    EdgesTopology,
    RandomTopology,
    RingTopology,
    SmallWorldTopology,
)
from peerkd.seeds import generator
from peerkd.study import topology


def edges_of_round(config: CollaborateConfig, number: int) -> list[topology.Edge]:
    """Return the edges between partners in a round.

    Args:
        config: The experiment, which determines the graph of the peers.
        number: The number of the round, counted from 1.
    """
    num_peers, graph = config.partition.num_peers, config.rounds.topology
    match graph:
        case CompleteTopology():
            return topology.complete(num_peers)
        case RingTopology():
            return topology.ring(num_peers)
        case RandomTopology():
            rng = generator(config.seed, "partners", number)
            return topology.random_regular(num_peers, num_partners=graph.num_partners, rng=rng)
        case SmallWorldTopology():
            return topology.small_world(
                num_peers,
                num_partners=graph.num_partners,
                rewired_fraction=graph.rewired_fraction,
                rng=generator(config.seed, "small world"),
            )
        case EdgesTopology():
            return [(one, other) for one, other in graph.edges]
