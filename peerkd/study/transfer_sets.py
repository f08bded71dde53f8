"""The kinds of transfer sets: who owns the samples, and which of their labels the loss uses.

All other modules use this table. A new kind is a name in ``TransferSet`` and an entry in ``TRANSFER_SETS``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

TransferSet = Literal[
    "student",
    "teacher",
    "both",
    "public",
    "public_unlabelled",
    "student_and_public",
    "teacher_unlabelled",
]
"""The names of the kinds, in the order in which the table of trials sorts them."""

Source = Literal["student", "teacher", "public"]
"""The origin of samples: the training set of the student or of the teacher, or the public set."""

Movable = Literal["samples", "weights", "logits"]
"""What may leave a peer: its raw samples, its network, or what its network predicts for samples."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferSetFacts:
    """The properties of one kind of transfer set."""

    labelled_sources: frozenset[Source] = frozenset()
    """The sample sets whose labels the loss reads, for the cross entropy. If a kind has none, the divergence is the
    whole loss: alpha has no effect, and no fine-tuning exists, because fine-tuning needs labels."""

    unlabelled_sources: frozenset[Source] = frozenset()
    """The sample sets whose labels the loss does not read. If a kind also has sets with labels, the divergence is
    computed only on the sets without labels, and the cross entropy only on the sets with labels."""

    meaning: str
    """The kind in words, for the help and the report."""

    @property
    def sources(self) -> frozenset[Source]:
        """The sample sets that are joined to the transfer set."""
        return self.labelled_sources | self.unlabelled_sources

    @property
    def taught_sources(self) -> frozenset[Source]:
        """The sample sets on which the divergence is computed. The teacher's logits are needed on these sets alone."""
        return self.unlabelled_sources or self.labelled_sources

    @property
    def uses_labels(self) -> bool:
        """Whether the loss has a cross entropy on labels."""
        return bool(self.labelled_sources)

    @property
    def samples(self) -> tuple[frozenset[Source], ...]:
        """The sample sets of each part of a batch. There are two parts if each term of the loss has its own samples."""
        return (self.labelled_sources, self.unlabelled_sources) if self.is_split else (self.sources,)

    @property
    def is_split(self) -> bool:
        """Whether the cross entropy and the divergence are computed on different samples."""
        return bool(self.labelled_sources and self.unlabelled_sources)

    @property
    def depends_on_student(self) -> bool:
        """Whether the samples differ between students. Otherwise a teacher's logits serve all of its students."""
        return "student" in self.sources

    @property
    def depends_on_teacher(self) -> bool:
        """Whether the samples differ between teachers. Otherwise a student is fine-tuned once for all its teachers."""
        return "teacher" in self.sources

    @property
    def moves(self) -> frozenset[Movable]:
        """What leaves the teacher. Nothing leaves the student, which is trained where its own data are.

        The teacher's samples are moved if the student trains on them. The teacher's network is moved if it has to
        predict the student's samples. Otherwise the teacher predicts its own or public samples, and the logits are
        moved.
        """
        moved: set[Movable] = {"samples"} if self.depends_on_teacher else set()
        moved.add("weights" if "student" in self.taught_sources else "logits")
        return frozenset(moved)

    @property
    def keeps_data_home(self) -> bool:
        """Whether the raw samples of every peer stay at that peer."""
        return "samples" not in self.moves

    @property
    def needs_public_set(self) -> bool:
        """Whether ``partition.public_fraction`` must be above 0."""
        return "public" in self.sources


TRANSFER_SETS: Final[Mapping[str, TransferSetFacts]] = {
    "student": TransferSetFacts(labelled_sources=frozenset({"student"}), meaning="the student's own training set"),
    "teacher": TransferSetFacts(labelled_sources=frozenset({"teacher"}), meaning="the teacher's training set"),
    "both": TransferSetFacts(
        labelled_sources=frozenset({"student", "teacher"}),
        meaning="the training sets of student and teacher together",
    ),
    "public": TransferSetFacts(labelled_sources=frozenset({"public"}), meaning="the public set, with labels"),
    "public_unlabelled": TransferSetFacts(
        unlabelled_sources=frozenset({"public"}),
        meaning="the public set without labels, where the loss is the divergence alone",
    ),
    "student_and_public": TransferSetFacts(
        labelled_sources=frozenset({"student"}),
        unlabelled_sources=frozenset({"public"}),
        meaning="the student's own training set for the cross entropy, and the public set without labels for the "
        "divergence",
    ),
    "teacher_unlabelled": TransferSetFacts(
        unlabelled_sources=frozenset({"teacher"}),
        meaning="the teacher's training set without labels, where the loss is the divergence alone",
    ),
}

PUBLIC: Final = -1
"""The number of the public set in a tuple of owners. If the whole transfer set is public, the tuple is empty."""

_POSITIONS: Final = {name: position for position, name in enumerate(TRANSFER_SETS)}


def check_transfer_set(name: str) -> None:
    """Check that a kind of transfer set exists.

    Raises:
        ValueError: If there is no kind of this name.
    """
    if name not in TRANSFER_SETS:
        raise ValueError(f"transfer_set must be one of {', '.join(TRANSFER_SETS)}, got {name}.")


def table_position(name: str) -> int:
    """Return the position of a kind in the order of the table of trials."""
    return _POSITIONS[name]


def set_owners(name: str, *, student: int, teacher: int) -> tuple[int, ...]:
    """Return the owners of the samples of a pair's transfer set, ascending: peers, and ``PUBLIC`` before them.

    The tuple is empty if all samples are public. If the cross entropy and the divergence are computed on different
    samples, the result contains the owners of the samples for the cross entropy, and ``unlabelled_owners`` returns the
    owners of the samples for the divergence.
    """
    facts = TRANSFER_SETS[name]
    owners = _owners(facts.labelled_sources or facts.unlabelled_sources, student=student, teacher=teacher)
    return () if owners == (PUBLIC,) else owners


def unlabelled_owners(name: str, *, student: int, teacher: int) -> tuple[int, ...]:
    """Return the owners of the samples that only the divergence uses.

    The tuple is empty if cross entropy and divergence use the same samples, or if the loss is the divergence alone.
    """
    facts = TRANSFER_SETS[name]
    return _owners(facts.unlabelled_sources, student=student, teacher=teacher) if facts.is_split else ()


def _owners(sources: frozenset[Source], *, student: int, teacher: int) -> tuple[int, ...]:
    owner_of: dict[Source, int] = {"student": student, "teacher": teacher, "public": PUBLIC}
    return tuple(sorted(owner_of[source] for source in sources))


class SourceSizes(NamedTuple):
    """The number of samples of each possible source of a transfer set."""

    student: int
    teacher: int
    public: int

    def total(self, sources: Iterable[Source]) -> int:
        """Return the number of samples of some sources together."""
        return sum(getattr(self, source) for source in sources)


def set_size(name: str, sizes: SourceSizes) -> int:
    """Return the number of samples in a transfer set."""
    return sizes.total(TRANSFER_SETS[name].sources)


def taught_size(name: str, sizes: SourceSizes) -> int:
    """Return the number of samples on which the teacher's logits are needed."""
    return sizes.total(TRANSFER_SETS[name].taught_sources)


def epoch_size(name: str, sizes: SourceSizes, *, batch_size: int) -> int:
    """Return the number of samples that a student trains on in one epoch.

    If the cross entropy and the divergence are computed on different samples, each batch has samples of both sets. An
    epoch is then one pass over the set with more batches, and the smaller set is repeated.

    Args:
        name: The kind of the transfer set.
        sizes: The sizes of its possible sources.
        batch_size: The largest number of samples of one set in a batch.
    """
    facts = TRANSFER_SETS[name]
    if not facts.is_split:
        return set_size(name, sizes)
    parts = [sizes.total(sources) for sources in (facts.labelled_sources, facts.unlabelled_sources)]
    num_batches = [max(-(-size // batch_size), 1) for size in parts]
    return round(sum(max(num_batches) * size / num for size, num in zip(parts, num_batches, strict=True)))


def grouped_by_samples(names: Iterable[TransferSet]) -> list[tuple[TransferSet, ...]]:
    """Return the kinds in groups of kinds with the same samples. Groups have the order of their first kinds.

    The kinds of a group differ only in their loss, so a teacher's logits serve all of them.
    """
    groups: dict[tuple[frozenset[Source], ...], list[TransferSet]] = {}
    for name in names:
        groups.setdefault(TRANSFER_SETS[name].samples, []).append(name)
    return [tuple(group) for group in groups.values()]


def names_without_labels(names: Iterable[str] = TRANSFER_SETS) -> tuple[str, ...]:
    """Return the kinds among ``names`` that use no labels, so that the divergence is the whole loss."""
    return tuple(name for name in names if not TRANSFER_SETS[name].uses_labels)


def in_words(names: Iterable[str] = TRANSFER_SETS) -> str:
    """Return a sentence for each kind, in one paragraph."""
    return " ".join(f"{name}: {TRANSFER_SETS[name].meaning}." for name in names)
