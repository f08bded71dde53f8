"""How the networks or predictions of a neighbourhood are joined. Each distinct neighbourhood is joined only once.

If all peers are partners, every peer has the same neighbourhood, so all peers receive the same result.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from peerkd.rounds.method import PeerWeights, Round, Weights, neighbourhood

if TYPE_CHECKING:
    from torch import Tensor

Made = TypeVar("Made")


def for_each_neighbourhood(round: Round, make: Callable[[tuple[int, ...]], Made]) -> Mapping[int, Made]:
    """Call ``make`` for each distinct neighbourhood, and return the result for each peer.

    Peers with the same neighbourhood share a call.
    """
    neighbourhoods = {peer: neighbourhood(round, peer) for peer in round.partners}
    made = {peers: make(peers) for peers in dict.fromkeys(neighbourhoods.values())}
    return {peer: made[peers] for peer, peers in neighbourhoods.items()}


def shares_by_samples(round: Round) -> dict[int, dict[int, float]]:
    """Return for each peer the shares of its neighbourhood's members, in proportion to their numbers of samples."""
    neighbourhoods = {peer: neighbourhood(round, peer) for peer in round.partners}
    totals = {peer: sum(round.num_samples[each] for each in peers) for peer, peers in neighbourhoods.items()}
    return {
        peer: {each: round.num_samples[each] / totals[peer] for each in peers} for peer, peers in neighbourhoods.items()
    }


def equal_shares(round: Round) -> dict[int, dict[int, float]]:
    """Return for each peer equal shares of all members of its neighbourhood."""
    neighbourhoods = {peer: neighbourhood(round, peer) for peer in round.partners}
    return {peer: dict.fromkeys(peers, 1 / len(peers)) for peer, peers in neighbourhoods.items()}


def averaged(weights: PeerWeights, peers: Sequence[int], num_samples: Mapping[int, int]) -> Weights:
    """Return the mean of the weights of some peers, weighted by their numbers of training samples.

    Let ``w_j`` be the weights of peer ``j``, and ``n_j`` its number of training samples. The mean is ``sum_j n_j w_j /
    sum_j n_j``.

    Buffers are averaged like parameters. For a buffer of integers, such as a number of batches, the maximum is taken.

    Source: McMahan et al. 2017, arXiv:1602.05629, algorithm 1.

    Args:
        weights: The weights of these peers, and possibly of more. All peers have parameters of the same names and
            shapes.
        peers: The peers over which the mean is taken.
        num_samples: The number of training samples of each peer.
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
