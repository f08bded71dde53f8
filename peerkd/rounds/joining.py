"""Joining what the peers of a neighbourhood send: each rule once for each distinct neighbourhood.

If all peers are partners, they share one neighbourhood, and whatever is made for it is the same for all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from peerkd.rounds.method import PeerWeights, Round, Weights, neighbourhood

if TYPE_CHECKING:
    from torch import Tensor

Made = TypeVar("Made")


def for_each_neighbourhood(round: Round, make: Callable[[tuple[int, ...]], Made]) -> Mapping[int, Made]:
    """Return what ``make`` returns for the neighbourhood of each peer, after one call for each distinct one."""
    neighbourhoods = {peer: neighbourhood(round, peer) for peer in round.partners}
    made = {peers: make(peers) for peers in dict.fromkeys(neighbourhoods.values())}
    return {peer: made[peers] for peer, peers in neighbourhoods.items()}


def averaged(weights: PeerWeights, peers: Sequence[int], num_samples: Mapping[int, int]) -> Weights:
    """Return the mean of the peers' weights, ``sum_j n_j w_j / sum_j n_j``.

    Buffers are averaged as parameters are. Of a buffer of integers, such as a number of batches, the largest is taken.

    Source: McMahan et al. 2017, arXiv:1602.05629, algorithm 1.

    Args:
        weights: The weights of at least these peers. All have the same names and shapes.
        peers: j.
        num_samples: n_j.
    """
    total = sum(num_samples[peer] for peer in peers)
    shares = [num_samples[peer] / total for peer in peers]

    def joined(tensors: Sequence["Tensor"]) -> "Tensor":
        first, *others = tensors
        if not first.is_floating_point():
            for other in others:
                first = first.maximum(other)
            return first
        mean = first * shares[0]
        for other, share in zip(others, shares[1:], strict=True):
            mean = mean.add(other, alpha=share)
        return mean

    return {name: joined([weights[peer][name] for peer in peers]) for name in weights[peers[0]]}
