"""The comparison of several studies in a few sentences. They also say where no difference was found."""

from collections.abc import Iterator, Mapping
from typing import Final

from peerkd.reporting.compare.tables import difference_in_words, estimate_in_words, name_of
from peerkd.results.compared_studies import StudyComparison
from peerkd.results.seeds import Verdict, verdict
from peerkd.wording import plural

_VERDICTS: Final[Mapping[Verdict, str]] = {
    "above": "higher beyond noise",
    "below": "lower beyond noise",
    "undecided": "not distinguishable",
}

_NO_INTERVAL: Final = "no interval, because the groups share fewer than two seeds, or all differences are equal"
"""The words in place of a verdict if a difference has no interval."""


def headline(comparison: StudyComparison) -> Iterator[tuple[str, str]]:
    """Yield the findings in words, each with its topic. All numbers are from test sets."""
    if len(comparison.groups) == 1:
        yield from _of_seeds(comparison)
        return
    yield "What differs", f"The groups differ in {', '.join(comparison.fields)}."
    for place, group in enumerate(comparison.groups[1:], start=1):
        main = comparison.quantities[0]
        difference = comparison.difference(place, main)
        found: dict[str, list[str]] = {name: [] for name in (*_VERDICTS.values(), _NO_INTERVAL)}
        for quantity in comparison.quantities:
            estimate = comparison.difference(place, quantity).estimate
            said = _VERDICTS[verdict(estimate)] if estimate.has_interval else _NO_INTERVAL
            found[said].append(quantity.title)
        listed = "; ".join(f"{said}: {', '.join(titles)}" for said, titles in found.items() if titles)
        yield (
            name_of(place).capitalize(),
            f"With {group.label}, {main.title} changes by {difference_in_words(difference)}, relative to "
            f"{name_of(0)}. All quantities relative to {name_of(0)}: {listed}.",
        )


def _of_seeds(comparison: StudyComparison) -> Iterator[tuple[str, str]]:
    (group,) = comparison.groups
    main = comparison.quantities[0]
    estimate = group.estimate(main)
    over = plural(estimate.num, group.unit(main))
    unit = "" if main.is_accuracy else ", in points"
    yield "Mean", f"{main.title}{unit}: {estimate_in_words(main, estimate)} over {over}."
    values = group.by_seed(main)
    if len(values) > 1:
        low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
        yield (
            "Spread",
            f"The lowest value is that of seed {low}, and the highest that of seed {high}. The interval covers other "
            "seeds, which includes other partitions and other peers.",
        )
