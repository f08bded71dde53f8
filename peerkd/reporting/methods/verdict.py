"""The verdict on a study of methods: the methods that lead, how sure this is, and what it took to know."""

from collections.abc import Iterator

from peerkd.config.methods import METHODS, Method
from peerkd.reporting.facts import PclFacts
from peerkd.reporting.methods import wording
from peerkd.reporting.methods.findings import MethodFindings
from peerkd.results.seeds import MIN_SEEDS, verdict
from peerkd.wording import format_duration, plural


def leaders(findings: MethodFindings, architecture: str) -> frozenset[Method]:
    """Return the methods whose deployed predictor has the highest mean accuracy with an architecture.

    There are several if their means are equal as the page writes them, and none if fewer than two methods have a
    result.
    """
    means = _means(findings, architecture)
    if len(means) < 2:
        return frozenset()
    highest = wording.accuracy(max(means.values()))
    return frozenset(method for method, mean in means.items() if wording.accuracy(mean) == highest)


def sentences(findings: MethodFindings, facts: PclFacts) -> Iterator[str]:
    """Yield the verdict, a sentence or two for each architecture, and then the cost."""
    architectures = findings.comparison.architectures
    for architecture in architectures:
        said = [*_of_leaders(findings, architecture), *_against_baseline(findings, architecture)]
        if said:
            place = f"With {architecture}: " if len(architectures) > 1 else ""
            yield place + " ".join(said)
    taken = f"{plural(len(facts.runs), 'run')} with {plural(facts.config.num_seeds, 'seed')}"
    yield f"It took {taken}, and {format_duration(sum(run.seconds for run in facts.runs))} of training, to know."


def _of_leaders(findings: MethodFindings, architecture: str) -> Iterator[str]:
    leading, means = leaders(findings, architecture), _means(findings, architecture)
    if not leading:
        return
    titles = " and ".join(METHODS[method].title for method in means if method in leading)
    highest = wording.accuracy(max(means.values()))
    yield f"The highest mean test accuracy of {len(means)} methods is {highest} %, with {titles}."


def _against_baseline(findings: MethodFindings, architecture: str) -> Iterator[str]:
    """Yield how many methods differ from the baseline by more than chance."""
    found = [each for (name, _), each in findings.over_baseline.items() if name == architecture]
    if not found:
        return
    if all(each.num < MIN_SEEDS for each in found):
        yield "With one seed, no difference can be distinguished from chance."
        return
    verdicts = [verdict(each) for each in found]
    num_above, num_below, num_undecided = (verdicts.count(each) for each in ("above", "below", "undecided"))
    baseline = METHODS[findings.comparison.baseline].title
    yield (
        f"Compared with {baseline}, {num_above} of {plural(len(found), 'method')} {_be(num_above)} better beyond "
        f"chance, {num_below} {_be(num_below)} worse, and {num_undecided} {_be(num_undecided)} undecided."
    )


def _means(findings: MethodFindings, architecture: str) -> dict[Method, float]:
    comparison = findings.comparison
    spreads = {method: comparison.scores[architecture, method, "deployed"].spread for method in comparison.methods}
    return {method: found.mean for method, found in spreads.items() if found.num}


def _be(num: int) -> str:
    return "is" if num == 1 else "are"
