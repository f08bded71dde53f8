"""Counts of the entries of a source that are not samples, so that nothing is omitted silently."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from peerkd.data.wording import printable

NUM_PRINTED: Final = 10
"""The largest number of names of one kind that a message prints."""


class MissingSamplesError(ValueError):
    """A data set lacks samples, so entries that were skipped when it was read may be the cause."""


class SkippedEntries(NamedTuple):
    """The skipped entries of one kind."""

    kind: str
    """The kind of the entries as a plural noun, such as ``hidden files``."""

    num: int
    examples: tuple[str, ...]
    """The names of the first entries of the kind."""


@dataclass(slots=True)
class Tally:
    """A running count of the entries that are skipped while a source is read."""

    num_examples: int = 3
    """The largest number of names that are kept for each kind."""

    _counts: dict[str, int] = field(default_factory=dict)
    _examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        """Count one more entry of a kind."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        examples = self._examples.setdefault(kind, [])
        if len(examples) < self.num_examples:
            examples.append(printable(name))

    def skipped(self) -> tuple[SkippedEntries, ...]:
        """Return the counts, with the kinds in the order of their first entries."""
        return tuple(SkippedEntries(kind, count, tuple(self._examples[kind])) for kind, count in self._counts.items())


def describe(skipped: Iterable[SkippedEntries]) -> str:
    """Return the counts as one phrase: ``hidden files: 2 (._a.png, ._b.png); other files: 1 (notes.txt)``."""
    return "; ".join(f"{each.kind}: {each.num:,} ({enumerate_names(each)})" for each in skipped)


def enumerate_names(entries: SkippedEntries) -> str:
    """Return the names of the first entries and the number of all further entries, as one phrase."""
    names = entries.examples[:NUM_PRINTED]
    num_more = entries.num - len(names)
    return ", ".join(names) + (f" and {num_more:,} more" if num_more else "")


def to_json(skipped: Iterable[SkippedEntries]) -> list[dict[str, Any]]:
    """Return the counts as JSON values, for ``from_json``."""
    return [{"kind": each.kind, "num": each.num, "examples": list(each.examples)} for each in skipped]


def from_json(values: Iterable[Mapping[str, Any]]) -> tuple[SkippedEntries, ...]:
    """Return the counts that ``to_json`` wrote."""
    return tuple(SkippedEntries(value["kind"], value["num"], tuple(value["examples"])) for value in values)
