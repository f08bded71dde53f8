"""Numbers from the measurements of the peers after each round."""

from collections.abc import Mapping, Sequence
from typing import Any


def mean_accuracy(history: Sequence[Mapping[str, Any]], number: int) -> float:
    """Return the mean global test accuracy of all peers after a round, counted from 1."""
    values: list[float] = [row["test_global_accuracy"] for row in history if row["round"] == number]
    return sum(values) / len(values)
