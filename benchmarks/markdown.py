"""Tables in Markdown, and values that were measured several times."""

from collections.abc import Iterable, Mapping, Sequence
from math import floor, log10
from statistics import median


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def facts_table(facts: Mapping[str, str]) -> str:
    """Return a Markdown table with one row for each item of ``facts``."""
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())])


def spread(values: Sequence[float]) -> str:
    """Return median, minimum and maximum as text. The median has three digits; all have the same number of decimals."""
    middle = median(values)
    texts = [three_digits(value, like=middle) for value in (middle, min(values), max(values))]
    return f"{texts[0]} ({texts[1]} to {texts[2]})"


def three_digits(value: float, *, like: float | None = None) -> str:
    """Return a value as text, with the number of decimals at which it has three digits.

    If ``like`` is given, the number of decimals is the one at which ``like`` has three digits.
    """
    size = abs(value if like is None else like)
    num_decimals = max(0, 2 - floor(log10(size))) if size > 0 else 0
    return f"{value:,.{num_decimals}f}"


def quotients(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratios of values that were measured in the same round, seconds apart."""
    return [one / other for one, other in zip(above, below, strict=True)]
