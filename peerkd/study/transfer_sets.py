"""The kinds of transfer sets: who owns the samples, and whether the loss uses their labels.

All other modules use this table. A new kind is a name in ``TransferSet`` and an entry in ``TRANSFER_SETS``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

TransferSet = Literal["student", "teacher", "both", "public", "public_unlabelled"]
"""The names of the kinds, in the order in which the table of trials sorts them."""

Source = Literal["student", "teacher", "public"]
"""The origin of samples: the training set of the student or of the teacher, or the public set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferSetFacts:
    """The properties of one kind of transfer set."""

    sources: frozenset[Source]
    """The sample sets that are joined to the transfer set."""

    uses_labels: bool = True
    """Whether the loss has a cross entropy on labels. Otherwise the loss is the divergence alone: alpha has no effect,
    and no control exists, because training without a teacher needs labels."""

    meaning: str
    """The kind in words, for the help and the report."""

    @property
    def depends_on_student(self) -> bool:
        """Whether the samples differ between students. Otherwise a teacher's logits serve all of its students."""
        return "student" in self.sources

    @property
    def depends_on_teacher(self) -> bool:
        """Whether the samples differ between teachers. Otherwise a student has one control for all of its teachers."""
        return "teacher" in self.sources

    @property
    def needs_public_set(self) -> bool:
        """Whether ``partition.public_fraction`` must be above 0."""
        return "public" in self.sources


TRANSFER_SETS: Final[Mapping[str, TransferSetFacts]] = {
    "student": TransferSetFacts(sources=frozenset({"student"}), meaning="the student's own training set"),
    "teacher": TransferSetFacts(sources=frozenset({"teacher"}), meaning="the teacher's training set"),
    "both": TransferSetFacts(
        sources=frozenset({"student", "teacher"}), meaning="the training sets of student and teacher together"
    ),
    "public": TransferSetFacts(sources=frozenset({"public"}), meaning="the public set, with labels"),
    "public_unlabelled": TransferSetFacts(
        sources=frozenset({"public"}),
        uses_labels=False,
        meaning="the public set without labels, where the loss is the divergence alone",
    ),
}

PUBLIC: Final = -1
"""The number that stands for the public set among the owners of a transfer set that also has samples of peers."""

_POSITIONS: Final = {name: position for position, name in enumerate(TRANSFER_SETS)}


def check_transfer_set(name: str) -> None:
    """Check that a kind exists.

    Raises:
        ValueError: If it does not.
    """
    if name not in TRANSFER_SETS:
        raise ValueError(f"transfer_set must be one of {', '.join(TRANSFER_SETS)}, got {name}.")


def table_position(name: str) -> int:
    """Return the position of a kind in the order of the table of trials."""
    return _POSITIONS[name]


def set_owners(name: str, *, student: int, teacher: int) -> tuple[int, ...]:
    """Return the owners of the samples of a pair's transfer set, ascending: peers, and ``PUBLIC`` before them.

    The tuple is empty if all samples are public.
    """
    facts = TRANSFER_SETS[name]
    peers = tuple(sorted((student,) * facts.depends_on_student + (teacher,) * facts.depends_on_teacher))
    return (PUBLIC, *peers) if peers and facts.needs_public_set else peers


def set_size(name: str, *, num_student: int, num_teacher: int, num_public: int) -> int:
    """Return the size of a transfer set by the sizes of its possible sources."""
    sizes: dict[Source, int] = {"student": num_student, "teacher": num_teacher, "public": num_public}
    return sum(sizes[source] for source in TRANSFER_SETS[name].sources)


def grouped_by_samples(names: Iterable[TransferSet]) -> list[tuple[TransferSet, ...]]:
    """Return the kinds in groups, in the order of the first of each: kinds of one group have the same samples.

    They differ only in their loss, so a teacher's logits serve all of them.
    """
    groups: dict[frozenset[Source], list[TransferSet]] = {}
    for name in names:
        groups.setdefault(TRANSFER_SETS[name].sources, []).append(name)
    return [tuple(group) for group in groups.values()]


def names_without_labels(names: Iterable[str] = TRANSFER_SETS) -> tuple[str, ...]:
    """Return those of some kinds on which the loss is the divergence alone."""
    return tuple(name for name in names if not TRANSFER_SETS[name].uses_labels)


def in_words(names: Iterable[str] = TRANSFER_SETS) -> str:
    """Return a sentence for each kind, in one paragraph."""
    return " ".join(f"{name}: {TRANSFER_SETS[name].meaning}." for name in names)
