"""The findings of an experiment with rounds as numbers. All forms of the report present these numbers.

Shape suffixes: R = rounds, where index 0 stands for the time before the first round; P = peers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peerkd.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodRounds:
    """The measurements of one method before the first round and after each round. Accuracies are fractions.

    An accuracy is measured on test data, unless its name says validation.
    """

    global_RP: FloatArray
    """Accuracy of each peer on the common test samples."""

    own_RP: FloatArray
    """Accuracy of each peer on its own test samples."""

    validation_RP: FloatArray
    """Accuracy of each peer on the common validation samples."""

    sent_bytes_RP: IntArray
    received_bytes_RP: IntArray
    num_samples_RP: IntArray
    """The number of own and public samples on which each peer trained in a round. A sample counts once for each time
    that the peer trained on it."""

    is_accepted_RP: BoolArray

    @property
    def mean_by_round(self) -> FloatArray:
        """The accuracy on the common test samples after each round, as a mean over the peers."""
        by_round: FloatArray = self.global_RP.mean(axis=1)
        return by_round

    @property
    def worst_by_round(self) -> FloatArray:
        """The accuracy of the worst peer on the common test samples after each round."""
        by_round: FloatArray = self.global_RP.min(axis=1)
        return by_round

    @property
    def own_mean_by_round(self) -> FloatArray:
        """The accuracy of the peers on their own test samples after each round, as a mean over the peers."""
        by_round: FloatArray = self.own_RP.mean(axis=1)
        return by_round

    @property
    def sent_bytes_by_round(self) -> FloatArray:
        """The bytes that a peer has sent in all rounds up to the end of each round, as a mean over the peers."""
        by_round: FloatArray = self.sent_bytes_RP.mean(axis=1).cumsum()
        return by_round

    @property
    def num_rejected(self) -> int:
        """The number of networks that rounds proposed and peers rejected, over all rounds and peers."""
        return int((~self.is_accepted_RP).sum())

    @property
    def num_losers(self) -> int:
        """The number of peers whose accuracy on their own test samples fell between the start and the last round."""
        return int((self.own_RP[-1] < self.own_RP[0]).sum())


def compute_findings(table: pa.Table) -> Mapping[str, MethodRounds]:
    """Return the measurements of each method, in the order of the table."""
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
