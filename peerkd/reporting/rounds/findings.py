"""The findings of rounds as numbers. All forms of the report present these numbers.

Shape suffixes: R = rounds with round 0, before the first one; P = peers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peerkd.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodRounds:
    """The rounds of one method. Accuracies are fractions on test, unless the name says validation."""

    global_RP: FloatArray
    """Accuracy of each peer on the common test samples."""

    own_RP: FloatArray
    """Accuracy of each peer on its own test samples."""

    validation_RP: FloatArray
    """Accuracy of each peer on the common validation samples."""

    sent_bytes_RP: IntArray
    received_bytes_RP: IntArray
    num_samples_RP: IntArray
    """The samples in the trainings of each peer, own and public ones."""

    is_accepted_RP: BoolArray

    @property
    def mean_by_round(self) -> FloatArray:
        """The mean over the peers of their accuracy on the common samples."""
        by_round: FloatArray = self.global_RP.mean(axis=1)
        return by_round

    @property
    def worst_by_round(self) -> FloatArray:
        """The lowest accuracy of a peer on the common samples."""
        by_round: FloatArray = self.global_RP.min(axis=1)
        return by_round

    @property
    def own_mean_by_round(self) -> FloatArray:
        """The mean over the peers of their accuracy on their own samples."""
        by_round: FloatArray = self.own_RP.mean(axis=1)
        return by_round

    @property
    def sent_bytes_by_round(self) -> FloatArray:
        """The bytes that a peer has sent until the end of each round, on average over the peers."""
        by_round: FloatArray = self.sent_bytes_RP.mean(axis=1).cumsum()
        return by_round

    @property
    def num_rejected(self) -> int:
        """The number of times that a peer rejected what a round proposed."""
        return int((~self.is_accepted_RP).sum())

    @property
    def num_losers(self) -> int:
        """The number of peers that are worse on their own samples after the last round than before the first."""
        return int((self.own_RP[-1] < self.own_RP[0]).sum())


def compute_findings(table: pa.Table) -> Mapping[str, MethodRounds]:
    """Return the rounds of each method, in the order of the table, which ``results.rounds.assemble`` made."""
    methods = table["method"].to_pylist()
    num_peers = len(set(table["peer"].to_pylist()))

    found: dict[str, MethodRounds] = {}
    for method in dict.fromkeys(methods):
        rows = table.filter(pc.equal(table["method"], method))
        columns = {name: np.array(rows[name].to_pylist()).reshape(-1, num_peers) for name in rows.column_names}
        found[method] = MethodRounds(
            global_RP=columns["test_global_accuracy"],
            own_RP=columns["test_own_accuracy"],
            validation_RP=columns["validation_global_accuracy"],
            sent_bytes_RP=columns["sent_bytes"],
            received_bytes_RP=columns["received_bytes"],
            num_samples_RP=columns["num_own_samples"] + columns["num_public_samples"],
            is_accepted_RP=columns["is_accepted"],
        )
    return found
