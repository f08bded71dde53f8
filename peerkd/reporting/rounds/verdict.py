"""The verdict on rounds: what the first method brings, which methods lead, and what leaves the peers."""

from collections.abc import Iterator, Mapping

from peerkd.reporting.facts import RoundsFacts
from peerkd.reporting.rounds.findings import MethodRounds
from peerkd.reporting.wording import percent
from peerkd.rounds import ROUND_METHODS
from peerkd.rounds.alone import METHOD as ALONE
from peerkd.wording import format_bytes, plural


def leaders(found: Mapping[str, MethodRounds]) -> list[str]:
    """Return the methods with the highest mean accuracy after the last round, among those that are no upper bound.

    There are several if their means are equal as the page writes them, and none if there are fewer than two methods.
    """
    means = {name: each.mean_by_round[-1] for name, each in found.items() if not ROUND_METHODS[name].is_bound}
    if len(means) < 2:
        return []
    highest = percent(max(means.values()))
    return [name for name, mean in means.items() if percent(mean) == highest]


def sentences(found: Mapping[str, MethodRounds], facts: RoundsFacts) -> Iterator[str]:
    """Yield the verdict in at most three sentences. Accuracies are on test."""
    name = facts.config.rounds.methods[0]
    main, title = found[name], ROUND_METHODS[name].title
    yield (
        f"With {title}, the mean accuracy of {plural(facts.num_peers, 'peer')} goes from "
        f"{percent(main.mean_by_round[0])} to {percent(main.mean_by_round[-1])} in "
        f"{plural(facts.config.rounds.num_rounds, 'round')}."
    )
    leading = leaders(found)
    if leading:
        yield f"{_who_leads(found, leading)}."
    sent = {each: format_bytes(round(float(found[each].sent_bytes_by_round[-1]))) for each in (name, *leading)}
    others = "".join(f", and {sent[each]} with {ROUND_METHODS[each].title}" for each in leading if each != name)
    yield f"A peer sends {sent[name]} in all rounds with {title}{others}."


def _who_leads(found: Mapping[str, MethodRounds], leading: list[str]) -> str:
    titles = " and ".join(ROUND_METHODS[name].title for name in leading)
    said = [f"The highest mean is {_after(found[leading[0]])}, with {titles}"]
    if ALONE.name in found and ALONE.name not in leading:
        said.append(f"{ALONE.title} reaches {_after(found[ALONE.name])}")
    said += [
        f"{ROUND_METHODS[name].title}, an upper bound, reaches {_after(each)}"
        for name, each in found.items()
        if ROUND_METHODS[name].is_bound
    ]
    return "; ".join(said)


def _after(each: MethodRounds) -> str:
    return percent(each.mean_by_round[-1])
