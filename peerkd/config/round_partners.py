"""The config of the partners in rounds: which peers exchange something with each other."""

from collections import Counter
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from peerkd.config.strict import StrictConfig
from peerkd.study import topology


class CompleteTopology(StrictConfig):
    """All peers are partners."""

    kind: Literal["complete"] = "complete"


class RingTopology(StrictConfig):
    """Each peer has two partners, the peers before and after it."""

    kind: Literal["ring"] = "ring"


class RandomTopology(StrictConfig):
    """Each peer has the same number of partners. The partners are drawn again in every round."""

    kind: Literal["random"] = "random"

    num_partners: int = Field(default=2, ge=1)
    """The number of partners of each peer."""


class SmallWorldTopology(StrictConfig):
    """A ring in which each peer has its nearest peers as partners, apart from some partners that are drawn at random.

    The graph is drawn once and stays the same in all rounds (Watts and Strogatz 1998).
    """

    kind: Literal["small_world"] = "small_world"

    num_partners: int = Field(default=2, ge=2)
    """The mean number of partners of a peer, an even number."""

    rewired_fraction: float = Field(default=0.1, ge=0, le=1)
    """The probability with which a random peer takes the place of a near peer as a partner."""


class EdgesTopology(StrictConfig):
    """The partners are listed pair by pair, and stay the same in all rounds."""

    kind: Literal["edges"] = "edges"

    edges: tuple[Annotated[tuple[int, ...], Field(min_length=2, max_length=2)], ...] = Field(
        default=((0, 1),), min_length=1
    )
    """The pairs of partners, as numbers of peers counted from 0. No pair may be repeated, and every peer must be in a
    pair."""


Topology: TypeAlias = Annotated[
    CompleteTopology | RingTopology | RandomTopology | SmallWorldTopology | EdgesTopology, Field(discriminator="kind")
]


def check_topology(graph: Topology, *, num_peers: int) -> None:
    """Check that a graph of this kind exists for this number of peers.

    Raises:
        ValueError: If it does not.
    """
    try:
        match graph:
            case RandomTopology():
                topology.check_regular(num_peers, num_partners=graph.num_partners)
            case SmallWorldTopology():
                topology.check_small_world(num_peers, num_partners=graph.num_partners)
            case EdgesTopology():
                topology.check_edges(graph.edges, num_peers=num_peers)
    except ValueError as error:
        raise ValueError(f"rounds.topology.{error}") from error


def max_num_partners(graph: Topology, *, num_peers: int) -> int:
    """Return the largest number of partners that a peer can have."""
    match graph:
        case RingTopology():
            return min(2, num_peers - 1)
        case RandomTopology():
            return graph.num_partners
        case EdgesTopology():
            return max(Counter(peer for edge in graph.edges for peer in edge).values())
        case SmallWorldTopology(rewired_fraction=0):
            return graph.num_partners
    return num_peers - 1
