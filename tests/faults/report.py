"""The cases that the harness has tried, and their results."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the harness. It can be repeated with the same family, seed and number."""

    family: str
    number: int
    complaint: str | None
    """A description of the error, or None."""

    num_kills: int = 0
    """The number of kills that found the run still at work."""


class Report:
    """A count of cases by family, and the cases that went wrong."""

    def __init__(self) -> None:
        self._tried: Counter[str] = Counter()
        self._kills: Counter[str] = Counter()
        self.wrong: list[Case] = []
        self.notes: list[str] = []
        """Lines between the counts and the cases that went wrong."""

    def add(self, cases: Iterable[Case]) -> None:
        """Add cases as they are produced."""
        for case in cases:
            self._tried[case.family] += 1
            self._kills[case.family] += case.num_kills
            if case.complaint:
                self.wrong.append(case)

    @property
    def num_tried(self) -> int:
        """The number of cases of all families."""
        return self._tried.total()

    def lines(self) -> list[str]:
        """Return the report: a line for each family, then a line for each case that went wrong."""
        wrong = Counter(case.family for case in self.wrong)
        counts = [
            f"{family:<40} {num:>6} tried {wrong[family]:>5} wrong"
            + (f", {self._kills[family]:,} kills" if self._kills[family] else "")
            for family, num in self._tried.items()
        ]
        return counts + self.notes + [f"{case.family} {case.number}: {case.complaint}" for case in self.wrong]
