"""The findings of an experiment with rounds as numbers. All forms of the report present these numbers.

Shape suffixes: R = rounds, where index 0 stands for the time before the first round; P = peers, K = classes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.results.rounds import LATER_COLUMNS, MAX_TEACHERS, has_proposal

_ROUNDING: Final = 1e-4
"""The largest difference of a sum of shares from 1 that counts as an error of rounding."""


class Tried(NamedTuple):
    """The setting that a peer tried in a round."""

    setting: int
    """The place of the setting in ``rounds.tune.portfolio``, counted from 0."""

    epochs: int
    estimated_gain: float
    """The gain in the accuracy that the peer estimates, as a fraction."""


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

    is_proposed_RP: BoolArray
    """Whether a round proposed a network to a peer."""

    is_accepted_RP: BoolArray
    """Whether a peer accepted the proposal of a round. True if there was no proposal."""

    class_RPK: FloatArray | None = None
    """Accuracy of each peer on the common test samples of each class; NaN for a class without samples. None if the
    table does not have these accuracies."""

    shares_RP: Sequence[Sequence[Mapping[int, float]]] = ()
    """The share of each teacher in what a student learned, the largest first, by round and student.

    The shares are empty if the student learned from itself alone. Peers are numbered from 0, including those that
    diverged. Only the ``MAX_TEACHERS`` largest shares are kept."""

    tried_RP: Sequence[Sequence[Tried | None]] = ()
    """What each peer tried in each round; None for a peer that chose no setting."""

    @property
    def has_settings(self) -> bool:
        """Whether a peer has chosen a setting."""
        return any(any(tried_P) for tried_P in self.tried_RP)

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
    def num_samples_by_round(self) -> FloatArray:
        """The samples on which a peer has trained from the start to the end of each round, as a mean over the peers."""
        by_round: FloatArray = self.num_samples_RP.mean(axis=1).cumsum()
        return by_round

    @property
    def class_changes(self) -> FloatArray | None:
        """The change of the accuracy of each class from the start to the last round, as a mean over the peers."""
        if self.class_RPK is None:
            return None
        change_K: FloatArray = (self.class_RPK[-1] - self.class_RPK[0]).mean(axis=0)
        return change_K

    @property
    def has_teachers(self) -> bool:
        """Whether a peer has learned from other peers, and the table says from whom."""
        return any(any(shares_P) for shares_P in self.shares_RP)

    @property
    def omits_teachers(self) -> bool:
        """Whether a peer had more teachers in a round than the table lists."""
        return any(
            len(shares) == MAX_TEACHERS and sum(shares.values()) < 1 - _ROUNDING
            for shares_P in self.shares_RP
            for shares in shares_P
        )

    def accepted_shares(self, index: int) -> dict[int, float]:
        """Return the share of each teacher in what one peer has accepted, the largest first.

        A share is a mean over the rounds in which the peer accepted what others taught it.

        A share that is missing in a round counts as 0.

        Args:
            index: The index of the peer among those that take part.
        """
        accepted = [
            shares_P[index]
            for shares_P, is_accepted_P in zip(self.shares_RP, self.is_accepted_RP, strict=True)
            if shares_P[index] and is_accepted_P[index]
        ]
        sums: Counter[int] = Counter()
        for shares in accepted:
            sums.update(shares)
        return {teacher: total / len(accepted) for teacher, total in sums.most_common()}

    def num_accepted(self, index: int) -> int:
        """Return the number of rounds in which a peer has accepted what others taught it."""
        return sum(bool(shares_P[index] and self.is_accepted_RP[r, index]) for r, shares_P in enumerate(self.shares_RP))

    @property
    def num_proposals(self) -> int:
        """The number of networks that rounds proposed to peers, over all rounds and peers."""
        return int(self.is_proposed_RP.sum())

    @property
    def num_rejected(self) -> int:
        """The number of networks that rounds proposed and peers rejected, over all rounds and peers."""
        return int((~self.is_accepted_RP).sum())

    @property
    def num_losers(self) -> int:
        """The number of peers whose accuracy on their own test samples fell between the start and the last round."""
        return int((self.own_RP[-1] < self.own_RP[0]).sum())


def accuracy_within(by_round: FloatArray, cost_by_round: FloatArray, limit: float) -> float:
    """Return the accuracy after the last round at which a cost is not yet above a limit.

    Args:
        by_round: The accuracy before the first round and after each round.
        cost_by_round: The total cost up to the same times. The first value is 0.
        limit: The limit, at least 0.
    """
    return float(by_round[int(np.flatnonzero(cost_by_round <= limit)[-1])])


def compute_findings(table: pa.Table) -> Mapping[str, MethodRounds]:
    """Return the measurements of each method, in the order of the table."""
    methods = table["method"].to_pylist()
    num_peers = len(set(table["peer"].to_pylist()))

    found: dict[str, MethodRounds] = {}
    for method in dict.fromkeys(methods):
        rows = table.filter(pc.equal(table["method"], method))
        columns = {
            name: np.array(rows[name].to_pylist()).reshape(-1, num_peers)
            for name in rows.column_names
            if name not in LATER_COLUMNS
        }
        found[method] = MethodRounds(
            global_RP=columns["test_global_accuracy"],
            own_RP=columns["test_own_accuracy"],
            validation_RP=columns["validation_global_accuracy"],
            sent_bytes_RP=columns["sent_bytes"],
            received_bytes_RP=columns["received_bytes"],
            num_samples_RP=columns["num_own_samples"] + columns["num_public_samples"],
            is_proposed_RP=np.array(
                [has_proposal(row) for row in rows.select(["num_own_samples", "num_public_samples"]).to_pylist()]
            ).reshape(-1, num_peers),
            is_accepted_RP=columns["is_accepted"],
            class_RPK=_classes(rows, num_peers),
            shares_RP=_shares(rows, num_peers),
            tried_RP=_tried(rows, num_peers),
        )
    return found


def _classes(rows: pa.Table, num_peers: int) -> FloatArray | None:
    """Return the accuracy of each round, peer and class; None if the rows do not have it."""
    column = rows["test_class_accuracies"]
    if column.null_count:
        return None
    return np.array(column.to_pylist(), dtype=np.float64).reshape(-1, num_peers, len(column[0]))


def _shares(rows: pa.Table, num_peers: int) -> list[list[dict[int, float]]]:
    """Return the shares of the teachers of each round and peer."""
    shares = [
        dict(zip(teachers or (), of_teachers or (), strict=True))
        for teachers, of_teachers in zip(rows["teachers"].to_pylist(), rows["teacher_shares"].to_pylist(), strict=True)
    ]
    return [shares[first : first + num_peers] for first in range(0, len(shares), num_peers)]


def _tried(rows: pa.Table, num_peers: int) -> list[list[Tried | None]]:
    """Return what each peer tried in each round."""
    columns = (rows[name].to_pylist() for name in ("setting", "epochs", "estimated_gain"))
    tried = [None if setting is None else Tried(setting, *values) for setting, *values in zip(*columns, strict=True)]
    return [tried[first : first + num_peers] for first in range(0, len(tried), num_peers)]
