"""What a source holds that is not among its samples, counted by kind so that nothing is left out in silence."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

NUM_PRINTED: Final = 10
"""Names of one kind that a message prints at most."""


class PassedOver(NamedTuple):
    """The things of one kind that were passed over."""

    kind: str
    """A plural noun, such as ``hidden files``."""

    num: int
    examples: tuple[str, ...]
    """The names of the first of them."""


@dataclass(slots=True)
class Tally:
    """A count of what is passed over while a source is read."""

    num_examples: int = 3
    """Names that are kept of each kind."""

    _counts: dict[str, int] = field(default_factory=dict)
    _examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        """Count one more thing of this kind."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        examples = self._examples.setdefault(kind, [])
        if len(examples) < self.num_examples:
            examples.append(printable(name))

    def passed_over(self) -> tuple[PassedOver, ...]:
        """Return the counts, kinds in the order in which they were first seen."""
        return tuple(PassedOver(kind, count, tuple(self._examples[kind])) for kind, count in self._counts.items())


def describe(passed_over: Iterable[PassedOver]) -> str:
    """Return the counts as one phrase: ``hidden files: 2 (._a.png, ._b.png); other files: 1 (notes.txt)``."""
    return "; ".join(f"{each.kind}: {each.num:,} ({enumerate_names(each)})" for each in passed_over)


def enumerate_names(passed_over: PassedOver) -> str:
    """Return the first names, and how many more there are."""
    names = passed_over.examples[:NUM_PRINTED]
    num_more = passed_over.num - len(names)
    return ", ".join(names) + (f" and {num_more:,} more" if num_more else "")


def to_json(passed_over: Iterable[PassedOver]) -> list[dict[str, Any]]:
    """Return what ``from_json`` reads, of plain JSON values."""
    return [{"kind": each.kind, "num": each.num, "examples": list(each.examples)} for each in passed_over]


def from_json(values: Iterable[Mapping[str, Any]]) -> tuple[PassedOver, ...]:
    """Read what ``to_json`` returned."""
    return tuple(PassedOver(value["kind"], value["num"], tuple(value["examples"])) for value in values)


def printable(name: str) -> str:
    r"""Return a file's name as one line of UTF-8: what no terminal can show is written as ``\xff`` or ``\n``.

    A file system may hold names in any encoding. Python reads bytes that are not UTF-8 as lone surrogates, which
    neither JSON for others nor a page in UTF-8 can hold.
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
