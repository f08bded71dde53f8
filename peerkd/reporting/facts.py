"""What a report states about an experiment or study in addition to its results, such as its inputs and its cost.

Shape suffixes: P = peers, K = classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from peerkd.arrays import FloatArray, IntArray
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.methods import Method
from peerkd.config.pcl import PclConfig
from peerkd.config.strict import StrictConfig
from peerkd.results.cost import RunCost
from peerkd.results.published import Published, find_published, published_data_set
from peerkd.study.moved_bytes import MovedBytes
from peerkd.study.pairs import Pairs
from peerkd.study.splits import EvaluationSets
from peerkd.study.student_choice import StudentDecision
from peerkd.wording import plural


class SampleStrip(NamedTuple):
    """Images of one class of a peer, side by side in one picture."""

    class_name: str
    num_images: int
    address: str
    """The picture as a ``data:`` address."""


class PeerSamples(NamedTuple):
    """Sample images of one peer."""

    name: str
    """What the peer is called."""

    strips: tuple[SampleStrip, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What every report states about a run: its inputs, its software and machine, and its cost."""

    config_fingerprint: str

    fingerprints: Mapping[str, str]
    """SHA-256 of each input and output, by names such as ``data set``, ``partition``, ``trials`` and ``curves``."""

    versions: Mapping[str, str]
    """Versions of the software, by names such as ``peerkd``, ``python``, ``torch`` and ``numpy``."""

    device: str
    machine: str
    class_names: tuple[str, ...]
    num_validation_samples: int
    """Size of the global validation set, on which every choice is made."""

    num_test_samples: int
    """Size of the global test set."""

    cost: RunCost | None = None
    """Resources that the jobs of the run held. None if no accounts were kept."""

    data_remarks: tuple[str, ...] = ()
    """Sentences on how the data set was read, such as which labels became which classes."""

    data_warnings: tuple[str, ...] = ()
    """Sentences on parts of the data that have too few samples."""

    samples: tuple[PeerSamples, ...] = ()
    """A few images of each peer, or of all training samples of a study of methods. Empty if the study has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedFacts:
    """What a comparison states about several runs besides their results."""

    pipeline: str
    config: StrictConfig
    """The config of the first study."""


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
    """False if the peer's training diverged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImprovedStudent:
    """What was done with one student, and its accuracies as fractions, by names such as ``test_own_accuracy``."""

    student: int
    decision: StudentDecision
    setting: str | None
    """The training as a phrase that follows "the student". None if the student stays unchanged."""

    is_reproduced: bool | None
    """Whether the training is reproduced. A network is published from a second run of its training, which is reproduced
    if it ends with exactly the values that the study recorded for the first run. None if the study recorded no values
    to compare with."""

    before: Mapping[str, float]
    after: Mapping[str, float]

    teacher: int | None = None
    """The peer whose predictions or data the training uses. None if it uses no other peer, and in artifacts of earlier
    versions, which do not record it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImprovedPeers:
    """The artifact with the better peers."""

    key: str
    chosen_by: str
    """The accuracy that the choice maximised on validation, in words."""

    students: tuple[ImprovedStudent, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentFacts(RunFacts):
    """What a report states about an experiment on pairs of peers besides its results."""

    config: ExperimentConfig

    names: tuple[str, ...]
    """What each peer is called: the name that the user has given it, the origin of its samples, or its number."""

    train_counts_PK: IntArray
    """(num_peers, num_classes) number of training samples of each peer and class."""

    distances: Mapping[str, FloatArray]
    """(num_peers, num_peers) distances of the peers' class distributions, in [0, 1], for each measure:
    ``jensen_shannon``, ``hellinger`` and ``earth_movers``."""

    peers: tuple[PeerFacts, ...]
    improved: ImprovedPeers

    evaluation_sets: tuple[EvaluationSets, ...]
    """The sizes of the evaluation sets of each peer."""

    num_trials: int
    added: Mapping[str, Sequence[float]]
    """The values that were added to the grid because many pairs chose its edges, by field of the sweep's config. Empty
    unless ``sweep.extend`` is set."""

    moved: Mapping[str, MovedBytes]
    """The bytes that leave the teachers of all pairs, by kind of transfer set. Empty if the data were partitioned by a
    version that did not record the size of an image."""

    bytes_to_one_student: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """The number of bytes that leave each peer for one of its students, by transfer set. Empty if ``moved`` is
    empty."""

    worker_seconds: float
    """The sum of the seconds of all trials. Trials that run at the same time are added up, too."""

    @property
    def num_peers(self) -> int:
        """The number of peers."""
        return len(self.peers)

    @property
    def peers_are_finite(self) -> list[bool]:
        """Whether the training of each peer ended in finite numbers. Only such a peer is a student or a teacher."""
        return [peer.is_finite for peer in self.peers]

    @property
    def peers_in_words(self) -> str:
        """The number of peers that take part, in words, and the number of partners of each if it is limited."""
        partners = self.config.sweep.num_partners
        each = "" if partners is None else f", each with {plural(partners, 'partner')} drawn at random"
        return f"{sum(self.peers_are_finite)} peers{each}"

    @property
    def pairs(self) -> Pairs:
        """The ordered pairs of peers that did not diverge."""
        return self.config.pairs([number for number, peer in enumerate(self.peers) if peer.is_finite])

    @property
    def num_pairs_left_out(self) -> int:
        """The number of pairs with a peer that diverged."""
        return self.config.pairs().num_pairs - self.pairs.num_pairs

    def __post_init__(self) -> None:
        num_peers, num_classes = self.num_peers, len(self.class_names)
        if num_peers != self.config.partition.num_peers:
            raise ValueError(f"peers must be {self.config.partition.num_peers} as in the config, got {num_peers}.")
        if self.train_counts_PK.shape != (num_peers, num_classes):
            raise ValueError(
                f"train_counts_PK must have shape ({num_peers}, {num_classes}), got {self.train_counts_PK.shape}."
            )
        if len(self.names) != num_peers:
            raise ValueError(f"names must be {num_peers} as the peers, got {len(self.names)}.")
        for name, distance_PP in self.distances.items():
            if distance_PP.shape != (num_peers, num_peers):
                raise ValueError(
                    f"distances.{name} must have shape ({num_peers}, {num_peers}), got {distance_PP.shape}."
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodRunFacts:
    """The cost of one run of a method."""

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
class PclFacts(RunFacts):
    """What a report states about a study of methods besides its results."""

    config: PclConfig
    image_shape: tuple[int, int, int]
    """Channels, height and width in pixels."""

    num_train_samples: int
    runs: tuple[MethodRunFacts, ...]

    @property
    def published_data_set(self) -> str | None:
        """The name of the study's data set if there are published numbers for it, else None."""
        return published_data_set(self.config.data.source, self.class_names)

    def published(self, architecture: str, method: Method) -> tuple[Published, ...]:
        """Return the results in the literature for the same data set, architecture and method."""
        return find_published(self.published_data_set, architecture, method)


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundsFacts(RunFacts):
    """What a report states about an experiment with rounds besides its results.

    Only peers that did not diverge in pre-training take part.
    """

    config: CollaborateConfig

    peer_numbers: tuple[int, ...]
    """The number of each peer, counted from 0."""

    peers: tuple[str, ...]
    """What each peer is called."""

    networks: tuple[str, ...]
    """The name of the network of each peer."""

    num_train_samples: tuple[int, ...]
    """The number of own training samples of each peer."""

    num_public_samples: int

    @property
    def num_peers(self) -> int:
        """The number of peers that take part."""
        return len(self.peers)
