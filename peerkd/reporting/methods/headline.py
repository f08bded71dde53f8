"""The findings of a study of methods in a few sentences. They also say where no effect was found."""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple, TypeAlias

from peerkd.config.methods import METHODS, Method
from peerkd.reporting.facts import PclFacts
from peerkd.reporting.methods import wording
from peerkd.reporting.methods.findings import MAIN_METHOD, MethodFindings
from peerkd.results.intervals import Estimate
from peerkd.results.seeds import MIN_SEEDS, Verdict, verdict
from peerkd.wording import plural

_Found: TypeAlias = Mapping[tuple[str, Method], Estimate]

_MAX_INTERVALS: Final = 4
"""The maximum number of intervals in one list. Longer lists leave the intervals to the table."""

_PHRASES: Final[Mapping[Verdict, str]] = {
    "above": "above",
    "below": "below",
    "undecided": "not distinguishable from",
}
"""The words for each verdict on a comparison of two methods. In a sentence, the name of the second method follows
them."""

_MEANS_IN_WORDS: Final[tuple[Method, ...]] = ("ema", MAIN_METHOD)


class MethodHeadline(NamedTuple):
    """A finding in one or two sentences for each architecture, with its topic."""

    topic: str
    texts: Mapping[str, str]


def headline(findings: MethodFindings, facts: PclFacts) -> list[MethodHeadline]:
    """Return the findings in words, the most important first. All accuracies are on test, after the last epoch."""
    said = {
        "Against the baseline": _over_baseline,
        f"{METHODS[MAIN_METHOD].title} against the others": _main_over_others,
        "Mean over time": _from_mean,
        "Ensemble": _ensemble,
        "Branches": _branches,
    }
    named = []
    for topic, say in said.items():
        texts = {name: text for name in findings.comparison.architectures if (text := say(findings, name))}
        if texts:
            named.append(MethodHeadline(topic, texts))
    diverged = {name: text for name in findings.comparison.architectures if (text := _diverged(findings, name))}
    if diverged:
        named.insert(0, MethodHeadline("Diverged", diverged))
    return [*named, MethodHeadline("How sure", {"": how_sure(findings, facts)})]


def how_sure(findings: MethodFindings, facts: PclFacts) -> str:
    """Return in words what the intervals cover, and how many of them would exclude 0 by chance."""
    num = findings.num_comparisons
    seeds = facts.config.num_seeds
    if seeds < MIN_SEEDS:
        return "The study has one seed, so no difference has an interval, and none can be distinguished from chance."
    basis = (
        f"Differences are paired over {plural(seeds, 'seed')}, with 95 % t intervals "
        f"({plural(seeds - 1, 'degree')} of freedom). They cover other seeds on this split of this data, "
        "not other data."
    )
    if not num:
        return f"{basis} The study has one method, so there is nothing to compare."
    return (
        f"{basis} They are not corrected for the number of comparisons, {num}. If all methods were equally good, "
        f"about {0.05 * num:.1f} intervals would still exclude 0."
    )


def _diverged(findings: MethodFindings, architecture: str) -> str:
    comparison = findings.comparison
    parts = []
    for method in comparison.methods:
        num = comparison.num_diverged[architecture, method]
        num_seeds = num + len(comparison.scores[architecture, method, "deployed"].by_seed)
        if num:
            parts.append(f"{METHODS[method].title} for {num} of {plural(num_seeds, 'seed')}")
    if not parts:
        return ""
    return (
        f"Some runs diverged, that is, did not end in finite numbers: {'; '.join(parts)}. No mean and no difference "
        "includes them."
    )


def _over_baseline(findings: MethodFindings, architecture: str) -> str:
    comparison = findings.comparison
    baseline = METHODS[comparison.baseline].title
    spread = comparison.scores[architecture, comparison.baseline, "deployed"].spread
    if not spread.num:
        return f"{baseline} diverged for every seed, so no other method can be compared with it."
    reached = f"{baseline} reaches {wording.spread(spread)} % on test ({plural(spread.num, 'seed')})."
    found = _of(findings.over_baseline, architecture)
    if not found:
        rest = "Every other method diverged." if len(comparison.methods) > 1 else "No other method was run."
        return f"{reached} {rest}"
    return f"{reached} {_verdicts(found, subject='method', rival=baseline)}"


def _main_over_others(findings: MethodFindings, architecture: str) -> str:
    found = _of(findings.main_over_others, architecture)
    title = METHODS[MAIN_METHOD].title
    if not found:
        return ""
    if _is_without_intervals(found):
        return f"No verdict: {title} differs from the others by {_listed(found, found)} points, without an interval."
    groups = _by_verdict(found)
    parts = [f"{phrase} {_listed(groups[each], found)}" for each, phrase in _PHRASES.items() if groups[each]]
    lost = "" if groups["above"] else " It is shown to be better than none of them."
    return f"In points, {title} is {'. It is '.join(parts)}.{lost}"


def _from_mean(findings: MethodFindings, architecture: str) -> str:
    sentences = []
    baseline = METHODS[findings.comparison.baseline].title
    for method, gain in _of(findings.from_mean, architecture).items():
        if method in _MEANS_IN_WORDS:
            text = f"{METHODS[method].title}: the mean of the weights over time is {_judged(gain)} the trained weights"
            without = findings.branch_over_baseline.get((architecture, method))
            also = f"; the trained weights alone are {_judged(without)} {baseline}" if without else ""
            sentences.append(f"{text}{also}.")
    return " ".join(sentences)


def _ensemble(findings: MethodFindings, architecture: str) -> str:
    found = _of(findings.from_ensemble, architecture)
    if not found:
        return ""
    return (
        f"Accuracy of the ensemble minus that of the deployed network of the same runs, in points: "
        f"{_listed(found, found)}. The ensemble needs all branches at inference."
    )


def _branches(findings: MethodFindings, architecture: str) -> str:
    parts = [
        f"{METHODS[method].title} {wording.accuracy(spread.mean)} %"
        for (name, method), spread in findings.disagreement.items()
        if name == architecture
    ]
    if not parts:
        return ""
    return (
        "Share of validation samples on which two branches predict different classes, after the last epoch: "
        f"{'; '.join(parts)}. Near 0, the branches are almost the same and have little to teach each other."
    )


def _verdicts(found: Mapping[Method, Estimate], *, subject: str, rival: str) -> str:
    if _is_without_intervals(found):
        return f"No verdict: other methods differ from it by {_listed(found, found)} points, without an interval."
    groups = _by_verdict(found)
    num = len(found)
    above = (
        f"Above it, in points: {_listed(groups['above'], found)}."
        if groups["above"]
        else f"No {subject} is shown to be better than {rival}."
    )
    below = f" Below it: {_listed(groups['below'], found)}." if groups["below"] else ""
    same = groups["undecided"]
    rest = f" Undecided: {_listed(same, found)}." if same else ""
    count = f"{len(groups['above'])} of {num} other {subject}{'' if num == 1 else 's'} above, "
    return f"{count}{len(groups['below'])} below, {len(same)} undecided. {above}{below}{rest}"


def _by_verdict(found: Mapping[Method, Estimate]) -> dict[Verdict, list[Method]]:
    groups: dict[Verdict, list[Method]] = {"above": [], "below": [], "undecided": []}
    for method, difference in found.items():
        groups[verdict(difference)].append(method)
    return groups


def _is_without_intervals(found: Mapping[Method, Estimate]) -> bool:
    return all(difference.num < MIN_SEEDS for difference in found.values())


def _listed(methods: Collection[Method], found: Mapping[Method, Estimate]) -> str:
    write = wording.estimate if len(methods) <= _MAX_INTERVALS else _value
    # A title may contain a comma.
    return "; ".join(f"{METHODS[method].title} {write(found[method])}" for method in methods)


def _value(difference: Estimate) -> str:
    return wording.points(difference.value)


def _judged(difference: Estimate) -> str:
    """Return a difference between two methods and its verdict as a phrase.

    In a sentence, the name of the second method follows the phrase.
    """
    if not difference.value and difference.num >= MIN_SEEDS and not difference.has_interval:
        return "as accurate for every seed as"
    interval = wording.interval(difference)
    points = f"{wording.points(difference.value)} points" + (f" ({interval})" if interval else "")
    return f"at {points} {_PHRASES[verdict(difference)]}"


def _of(found: _Found, architecture: str) -> dict[Method, Estimate]:
    return {method: difference for (name, method), difference in found.items() if name == architecture}
