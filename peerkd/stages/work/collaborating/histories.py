"""Numbers from the measurements of the peers after each round."""

from collections.abc import Mapping, Sequence
from typing import Any

from peerkd.errors import ArtifactCorruptError


def mean_accuracy(history: Sequence[Mapping[str, Any]], number: int) -> float:
    """Return the mean global test accuracy of all peers after a round, counted from 1."""
    values: list[float] = [row["test_global_accuracy"] for row in history if row["round"] == number]
    return sum(values) / len(values)


def check_complete(history: Sequence[Mapping[str, Any]], *, method: str, peers: Sequence[int], num_rounds: int) -> None:
    """Check that a sorted history has exactly one row for each peer before the first round and after each round.

    Raises:
        ArtifactCorruptError: If a row is missing, or there is one too many.
    """
    expected = [(number, peer) for number in range(num_rounds + 1) for peer in sorted(peers)]
    if [(row["round"], row["peer"]) for row in history] != expected:
        raise ArtifactCorruptError(
            f"The records of {method} must have one row for each of {len(peers)} peers before and after each of "
            f"{num_rounds} rounds, got {len(history)} rows: to do all rounds again, change compute.num_round_parts."
        )
