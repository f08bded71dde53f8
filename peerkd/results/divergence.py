"""The numbers of diverged trainings of an experiment, and of the pairs that are omitted because of them."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from peerkd.results.schema import IS_FINITE, TARGET
from peerkd.study.controls import are_controls


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """Trainings that diverged: their weights or losses did not stay finite numbers."""

    peers: tuple[int, ...]
    """The indices of the peers that diverged in pre-training. No pair with such a peer was tried."""

    num_pairs_left_out: int
    """The number of ordered pairs with a peer that diverged."""

    num_distillations: int
    """The number of distillations that diverged."""

    num_controls: int
    """The number of controls that diverged."""

    num_trials: int
    """The number of trials that were done, whether they diverged or not."""

    @property
    def num_trials_diverged(self) -> int:
        """The number of distillations and controls that diverged."""
        return self.num_distillations + self.num_controls

    @property
    def is_any(self) -> bool:
        """Whether any peer, distillation or control diverged."""
        return bool(self.peers or self.num_trials_diverged)


def divergence(trials: pa.Table, *, is_finite_P: list[bool], num_pairs_left_out: int) -> Divergence:
    """Count the trainings of an experiment that diverged.

    Args:
        trials: The table of trials.
        is_finite_P: For each peer, whether its pre-training ended in finite numbers.
        num_pairs_left_out: The number of pairs with a peer that diverged.
    """
    has_diverged = pc.invert(trials[IS_FINITE])
    diverged = trials.select(["distillation_weight", TARGET]).filter(has_diverged)
    num_controls = sum(are_controls(*(column.to_pylist() for column in diverged.columns)))
    return Divergence(
        peers=tuple(peer for peer, is_finite in enumerate(is_finite_P) if not is_finite),
        num_pairs_left_out=num_pairs_left_out,
        num_distillations=diverged.num_rows - num_controls,
        num_controls=num_controls,
        num_trials=trials.num_rows,
    )
