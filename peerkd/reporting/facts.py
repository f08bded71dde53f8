"""What a report says about an experiment besides its trials."""

from collections.abc import Mapping
from dataclasses import dataclass

from peerkd.config.experiment import ExperimentConfig
from peerkd.results.arrays import FloatArray, IntArray
from peerkd.results.cost import RunCost


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerFacts:
    """One peer before any distillation. Accuracies are fractions from 0 to 1, or None if the peer diverged."""

    architecture: str
    num_parameters: int
    num_train_samples: int
    num_own_validation_samples: int
    num_own_test_samples: int
    validation_global_accuracy: float | None
    validation_own_accuracy: float | None
    test_global_accuracy: float | None
    test_own_accuracy: float | None
    is_finite: bool
    """False if its training diverged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """The experiment, where it ran and what it ran on."""

    config: ExperimentConfig
    config_fingerprint: str

    fingerprints: Mapping[str, str]
    """SHA-256 of what was read and made, such as ``data set``, ``partition``, ``peers``, ``trials``."""

    versions: Mapping[str, str]
    """Of the software, such as ``peerkd``, ``python``, ``torch``, ``numpy``."""

    device: str
    machine: str

    class_names: tuple[str, ...]

    train_counts_PK: IntArray
    """(num_peers, num_classes) training samples."""

    num_validation_samples: int
    """Of the global validation set, by which every choice is made."""

    num_test_samples: int
    """Of the global test set."""

    distances: Mapping[str, FloatArray]
    """By name (``jensen_shannon``, ``hellinger``, ``earth_movers``): (num_peers, num_peers) in [0, 1]."""

    peers: tuple[PeerFacts, ...]

    num_trials: int
    worker_seconds: float
    """Seconds of all trials added up, though several workers did them side by side."""

    cost: RunCost | None = None
    """What the jobs of the run held; None where nobody kept accounts."""

    data_remarks: tuple[str, ...] = ()
    """Sentences on how the data set was read, where its name does not say it."""

    data_warnings: tuple[str, ...] = ()
    """Sentences on what the division of the data has too little of."""

    @property
    def num_peers(self) -> int:
        """The number of peers."""
        return len(self.peers)

    @property
    def peers_are_finite(self) -> list[bool]:
        """Whether each peer's training ended finite. Only such a peer is a student or a teacher."""
        return [peer.is_finite for peer in self.peers]

    def __post_init__(self) -> None:
        num_peers, num_classes = self.num_peers, len(self.class_names)
        if num_peers != self.config.partition.num_peers:
            raise ValueError(f"peers must be {self.config.partition.num_peers} as in the config, got {num_peers}.")
        if self.train_counts_PK.shape != (num_peers, num_classes):
            raise ValueError(
                f"train_counts_PK must have shape ({num_peers}, {num_classes}), got {self.train_counts_PK.shape}."
            )
        for name, distance_PP in self.distances.items():
            if distance_PP.shape != (num_peers, num_peers):
                raise ValueError(
                    f"distances.{name} must have shape ({num_peers}, {num_peers}), got {distance_PP.shape}."
                )
