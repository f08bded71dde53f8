"""What a report on methods says about a study besides its curves."""

from collections.abc import Mapping
from dataclasses import dataclass

from peerkd.config.methods import Method
from peerkd.config.pcl import PclConfig
from peerkd.results.cost import RunCost
from peerkd.results.published import Published, find_published, published_data_set


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What one run cost."""

    architecture: str
    method: str
    seed: int
    num_training_parameters: int
    num_deployed_parameters: int
    seconds: float
    num_samples_per_epoch: int
    is_finite: bool
    """False if the run diverged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PclFacts:
    """The study, where it ran and what it ran on."""

    config: PclConfig
    config_fingerprint: str

    fingerprints: Mapping[str, str]
    """SHA-256 of what was read and made, such as ``data set``, ``split``, ``curves``."""

    versions: Mapping[str, str]
    """Of the software, such as ``peerkd``, ``python``, ``torch``, ``numpy``."""

    device: str
    machine: str

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    """Channels, height and width in pixels."""

    num_train_samples: int
    num_validation_samples: int
    num_test_samples: int

    runs: tuple[RunFacts, ...]

    cost: RunCost | None = None
    """What the jobs of the run held; None where nobody kept accounts."""

    data_remarks: tuple[str, ...] = ()
    """Sentences on how the data set was read, where its name does not say it."""

    data_warnings: tuple[str, ...] = ()
    """Sentences on what the division of the data has too little of."""

    @property
    def published_data_set(self) -> str | None:
        """The data set that numbers are published for; None if this is another."""
        return published_data_set(self.config.data.source, self.class_names)

    def published(self, architecture: str, method: Method) -> tuple[Published, ...]:
        """Return what others published for the same data set, architecture and method."""
        return find_published(self.published_data_set, architecture, method)
