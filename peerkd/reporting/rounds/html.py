"""The findings of rounds as an HTML page."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from peerkd.config.collaborate import RoundsConfig
from peerkd.reporting import charts, page, wording
from peerkd.reporting.charts import Axis, Line, Series, XYChart
from peerkd.reporting.facts import RoundsFacts
from peerkd.reporting.rounds import details, settings
from peerkd.reporting.rounds.findings import MethodRounds
from peerkd.reporting.rounds.verdict import leaders, sentences
from peerkd.reporting.rounds.wording import defences, joining_in_words, unless_tuned
from peerkd.results.intervals import Estimate
from peerkd.results.rounds import MAX_TEACHERS
from peerkd.rounds import ROUND_METHODS
from peerkd.rounds.alone import METHOD as ALONE
from peerkd.rounds.method import RoundMethod
from peerkd.rounds.predictions import METHOD as PREDICTIONS
from peerkd.wording import format_bytes, plural

SECTIONS: Final[Mapping[str, str]] = {
    "findings": "Findings",
    "methods": "Methods",
    "rounds": "Accuracy by round",
    "costs": "Accuracy by samples and bytes",
    "peers": "Peers",
    "settings": "Settings that peers tried",
    "teachers": "Who taught whom",
    "classes": "Classes",
    "run": "What was run",
}
"""The title of each section by its id, which is also the name of its template."""

_SHOWN_ROUNDS: Final = (1, 2, 5)
"""The rounds that the table of methods shows besides the last round."""


def render(found: Mapping[str, MethodRounds], facts: RoundsFacts) -> str:
    """Return the whole report as one self-contained page."""
    filters: dict[str, Callable[..., str]] = {"pct": lambda fraction: f"{100 * fraction:.1f}"}
    view = _view(found, facts)
    # A method may teach nothing, and tables of earlier versions say nothing about teachers and classes.
    rows_of = {"settings": view["attempts"], "teachers": view["taught"], "classes": view["class_changes"]}
    absent = {name for name, rows in rows_of.items() if not rows}
    sections = {name: title for name, title in SECTIONS.items() if name not in absent}
    return page.render("rounds.html", view, facts=facts, sections=sections, section_folder="rounds", filters=filters)


def _view(found: Mapping[str, MethodRounds], facts: RoundsFacts) -> dict[str, Any]:
    num_rounds, main = facts.config.rounds.num_rounds, found[facts.config.rounds.methods[0]]
    return {
        "found": found,
        "round_methods": {name: ROUND_METHODS[name] for name in found},
        "shown_rounds": [*(each for each in _SHOWN_ROUNDS if each < num_rounds), num_rounds],
        "num_rounds": num_rounds,
        "leaders": leaders(found),
        "bounds": " and ".join(method.title for method in facts.config.rounds.round_methods if method.is_bound),
        "verdict": list(sentences(found, facts)),
        "headline": headline(found, facts),
        "conventions": conventions(facts),
        "charts": {name: round_chart(each, found.get(ALONE.name)) for name, each in found.items()},
        "gains_chart": charts.interval_chart(
            {
                ROUND_METHODS[name].title: Estimate(
                    float(each.mean_by_round[-1] - each.mean_by_round[0]), math.nan, math.nan, facts.num_peers
                )
                for name, each in found.items()
            }
        ),
        "samples_chart": details.samples_chart(found),
        "bytes_chart": details.bytes_chart(found),
        "at_equal_cost": details.at_equal_cost(found),
        "omits_teachers": any(each.omits_teachers for each in found.values()),
        "max_teachers": MAX_TEACHERS,
        "taught": details.taught(main, facts) if main.has_teachers else [],
        "class_changes": details.class_changes(main, facts),
        **_settings_view(found, facts),
        "main": main,
        "main_title": ROUND_METHODS[facts.config.rounds.methods[0]].title,
        "loss_formula": wording.loss_formula(facts.config.rounds),
    }


def _settings_view(found: Mapping[str, MethodRounds], facts: RoundsFacts) -> dict[str, Any]:
    """Return the variables of the section on the settings that peers tried."""
    tuned = next((name for name, each in found.items() if each.has_settings), None)
    made = settings.attempts(found[tuned], facts) if tuned else []
    return {
        "tuned_title": ROUND_METHODS[tuned].title if tuned else "",
        "setting_uses": settings.uses(made, facts.config.rounds),
        "attempts": made[-settings.MAX_LISTED :],
        "num_attempts": len(made),
        "num_omitted": sum(each.outcome == "omitted" for each in made),
    }


def headline(found: Mapping[str, MethodRounds], facts: RoundsFacts) -> list[tuple[str, str]]:
    """Return the findings in words, each with its topic, the most important first. Accuracies are on test."""
    name = facts.config.rounds.methods[0]
    main, title = found[name], ROUND_METHODS[name].title
    start, end = main.mean_by_round[0], main.mean_by_round[-1]
    said = [
        (
            "Gain",
            f"With {title}, the mean accuracy of the peers goes from {_percent(start)} to {_percent(end)} in "
            f"{plural(facts.config.rounds.num_rounds, 'round')}, and that of the worst peer from "
            f"{_percent(main.worst_by_round[0])} to {_percent(main.worst_by_round[-1])}.",
        )
    ]
    gaps = {other: float(each.mean_by_round[-1] - end) for other, each in found.items() if other != name}
    if gaps:
        listed = ", ".join(f"{ROUND_METHODS[other].title} {wording.points(gap)}" for other, gap in gaps.items())
        said.append(
            ("Against the others", f"Mean accuracy after the last round, in points relative to {title}: {listed}.")
        )
    sent = {other: round(float(each.sent_bytes_by_round[-1])) for other, each in found.items()}
    senders = [other for other, num in sent.items() if num and other != name]
    listed = "".join(f"; with {ROUND_METHODS[other].title}, {format_bytes(sent[other])}" for other in senders)
    said.append(("Bytes", f"With {title}, a peer sends {format_bytes(sent[name])} in all rounds{listed}."))
    said.append(
        (
            "Own data",
            f"On samples with their own class distribution, the peers go from {_percent(main.own_mean_by_round[0])} to "
            f"{_percent(main.own_mean_by_round[-1])} with {title}. After the last round, {main.num_losers} of "
            f"{facts.num_peers} are worse there than before the first. They rejected {main.num_rejected:,} of "
            f"{plural(main.num_proposals, 'proposal')}.",
        )
    )
    if main.mean_by_round[1] < start:
        said.append(
            (
                "First round",
                f"The first round costs {wording.points(float(main.mean_by_round[1] - start))} points. "
                "rounds.rampup_rounds gives the divergence less weight in the first rounds.",
            )
        )
    unreliable = unreliable_peers(main, facts)
    if unreliable:
        said.append(("Unreliable peers", unreliable))
    said.append(("How sure", "All numbers are of one seed. Before you rely on a small difference, set num_seeds."))
    return said


def unreliable_peers(main: MethodRounds, facts: RoundsFacts) -> str:
    """Return sentences on the peers that were absent or lied with the first method, and on the accuracy of the others.

    They also say which defence was used against lies. The text is empty if there are no such peers. A peer that sends
    nothing cannot lie.
    """
    sends_nothing = facts.config.rounds.round_methods[0].sends == "nothing"
    unreliable = [
        each
        for each in facts.config.rounds.unreliable
        if each.peer in facts.peer_numbers and not (each.is_lie and sends_nothing)
    ]
    if not unreliable:
        return ""
    named = ", ".join(f"{facts.config.describe_peer(each.peer)} ({each.kind.replace('_', ' ')})" for each in unreliable)
    done = [
        word
        for word, happened in (
            ("were absent", any(not each.is_lie for each in unreliable)),
            ("lied", any(each.is_lie for each in unreliable)),
        )
        if happened
    ]
    said = f"In some rounds, these peers {' or '.join(done)}: {named}."
    if "lied" in done:
        said += f" {_defence(facts.config.rounds)}"
    numbers = {each.peer for each in unreliable}
    others = [index for index, number in enumerate(facts.peer_numbers) if number not in numbers]
    if not others:
        return f"{said} No peer was reliable in all rounds."
    before, after = (_percent(main.global_RP[round, others].mean()) for round in (0, -1))
    return f"{said} The mean accuracy of the other peers goes from {before} to {after}."


def _defence(rounds: RoundsConfig) -> str:
    """Return a sentence on the defence of the first method against lies."""
    if rounds.methods[0] == PREDICTIONS.name and defences(rounds):
        return f"Against lies, predictions were joined with {' and '.join(defences(rounds))}."
    return "There was no defence against lies."


def conventions(facts: RoundsFacts) -> list[str]:
    """Return sentences on what the numbers mean and how the methods are made comparable."""
    rounds = facts.config.rounds
    bounds = " and ".join(method.title for method in rounds.round_methods if method.is_bound)
    limit = (
        "Peers accept every proposal that is finite."
        if rounds.max_own_drop is None
        else f"A peer rejects a proposal if its accuracy on its own validation samples would be more than "
        f"{100 * rounds.max_own_drop:g} points below its accuracy before the first round."
        + (f" This limit does not apply to {bounds}." if bounds else "")
    )
    mixed = f" except {bounds}, whose batches mix the samples of all peers" if bounds else ""
    return [
        "All methods start from the same peers. In a round, a peer that trains on its own samples takes the same "
        f"batches in the same order with every method{mixed}.",
        f"A round has {plural(rounds.epochs, 'epoch')}{unless_tuned(rounds)}.",
        "If own and public samples are in one batch, an epoch is one pass over the set with more batches; methods "
        "without public samples train on as many batches of own samples.",
        "Every training in a round begins with zero momentum and at the initial learning rate.",
        *(_weight_in_words(rounds, method) for method in rounds.round_methods if method.alpha_field),
        f"The target of joint distillation is {rounds.target.title}.",
        *joining_in_words(rounds),
        "Predictions on the public set are made once in a round, without augmentation. Its labels are never used.",
        "A message counts once for the peer that sends it, and once for each peer that reads it.",
        limit,
    ]


def _weight_in_words(rounds: RoundsConfig, method: RoundMethod) -> str:
    assert method.alpha_field is not None
    alpha = getattr(rounds, method.alpha_field)
    first, last = (wording.number(rounds.distillation_weight(round, alpha=alpha)) for round in (1, rounds.num_rounds))
    weights = first if first == last else f"{first} in the first round and {last} in the last"
    unless = unless_tuned(rounds) if method.alpha_field == "alpha" else ""
    temperature = wording.number(rounds.temperature)
    return f"The weight of the divergence of {method.title} is {weights}, at T = {temperature}{unless}."


def round_chart(each: MethodRounds, control: MethodRounds | None) -> XYChart:
    """Return the chart of one method: the mean, worst and own accuracy of the peers by round.

    Args:
        each: The measurements of the method.
        control: The measurements of the peers that train on alone. The line of their mean accuracy is drawn behind the
            others. None if the experiment does not have this control.
    """
    lines: list[tuple[str, str, Sequence[float]]] = [
        ("mean", "l0", each.mean_by_round.tolist()),
        ("worst", "l1", each.worst_by_round.tolist()),
        ("own", "l2", each.own_mean_by_round.tolist()),
    ]
    if control is not None and control is not each:
        lines.insert(0, ("alone", "lm", control.mean_by_round.tolist()))
    last = len(each.mean_by_round) - 1
    return XYChart(
        x=Axis(0, last, "whole", title="round", has_grid=False),
        y=Axis(0, 1, "percent"),
        series=[
            Series(label, style, [Line(list(range(last + 1)), ys, f"{label}: {_percent(ys[-1])} after round {last}")])
            for label, style, ys in lines
        ],
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
