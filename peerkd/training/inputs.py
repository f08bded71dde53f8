"""What a worker process opens, as paths: cheap to hand over, and known without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from peerkd.config.experiment import ExperimentConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainInputs:
    """For pre-training the peers."""

    config: ExperimentConfig
    dataset_folder: Path
    partition_folder: Path

    weights_folder: Path
    """Takes the weights of the finished peers."""

    checkpoints_folder: Path
    """Holds what an interrupted training goes on from."""

    device: str
    """``cpu``, or ``cuda`` for the GPU of the worker's number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepInputs:
    """For the trials of the sweep."""

    config: ExperimentConfig
    dataset_folder: Path
    partition_folder: Path
    peers_folder: Path
    device: str
    """``cpu``, or ``cuda`` for the GPU of the worker's number."""


class EpochDone(NamedTuple):
    """A peer has finished an epoch of its pre-training."""

    peer: int
    num_epochs: int
    """Finished so far."""
