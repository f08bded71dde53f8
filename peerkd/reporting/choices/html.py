"""The findings of a tuned study as an HTML page."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from peerkd.reporting import charts, heatmaps, page, wording
from peerkd.reporting.choices.charts import curve_chart, front_chart, regret_chart
from peerkd.reporting.choices.findings import PairChoice, TuningFindings
from peerkd.reporting.choices.headline import answers_of_study, headline, overruled, verdict
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.headline import Headline
from peerkd.reporting.improved import decision_in_words
from peerkd.reporting.improved import headline as better_peers
from peerkd.reporting.peer_answers import MAX_ON_FIRST_SCREEN, decided_pairs
from peerkd.reporting.small_validation import limit_of_validation

SECTIONS: Final[Mapping[str, str]] = {
    "verdict": "Verdict",
    "findings": "Findings",
    "improved": "Better peers",
    "plan": "Pairs, each judged alone",
    "settings": "Chosen settings",
    "gains": "Gain by pair",
    "front": "Global against own accuracy",
    "curve": "Gain against cost",
    "untried": "What was not tried",
    "reading": "How to read this",
    "run": "What was run",
}
"""The title of each section by its id, which is also the name of its template."""

_MAX_PLAN: Final = 50
"""The number of lines of the plan that are visible without a click."""


def render(findings: TuningFindings, facts: ExperimentFacts) -> str:
    """Return the whole report as one self-contained page."""
    return page.render(
        "choices.html",
        _view(findings, facts),
        facts=facts,
        sections=SECTIONS,
        section_folder="choices",
        filters={"gain": _gain, "decision": decision_in_words},
    )


def _view(findings: TuningFindings, facts: ExperimentFacts) -> dict[str, Any]:
    objective, names = facts.config.objective, facts.names
    at_edges = wording.at_edges(findings.edges(facts.config))
    # A square of all peers would have few cells with a number.
    has_squares = facts.config.sweep.num_partners is None
    edges = [Headline("Edge of the grid", at_edges)] if at_edges else []
    network = charts.network_chart(
        names, findings.expected_PP, decided=decided_pairs(facts), alone=_advised(findings), gain_noun="expected"
    )
    limit = heatmaps.shared_limit([findings.expected_PP, findings.test_PP])
    return {
        **page.distillation_view(facts.config),
        "findings": findings,
        "verdict": verdict(findings, facts),
        "no_intervals": wording.NO_INTERVALS if _lacks_intervals(findings) else "",
        "answers": answers_of_study(facts),
        "max_answers": MAX_ON_FIRST_SCREEN,
        "network_chart": network,
        "limit_of_validation": limit_of_validation(facts, objective),
        "network_note": charts.network_note(network),
        "overruled": [overruled(advice.choice, facts) for advice in findings.plan],
        "regret": regret_chart(findings.curve),
        # The verdict says once what cannot be said of few peers.
        "headline": [
            *(each for each in headline(findings, facts) if each.topic != "Intervals"),
            *edges,
            better_peers(facts.improved),
        ],
        "limit": limit,
        "metric": objective.accuracy_in_words,
        "limit_sentence": objective.limit_in_words,
        "tuned_names": wording.tuned_names(facts.config.untuned_default.dimensions),
        "settings": settings_map(findings, names) if has_squares else None,
        "names": names,
        "gain_maps": []
        if not has_squares
        else [
            heatmaps.pairs_map(findings.expected_PP, caption="Expected, validation", limit=limit, names=names),
            heatmaps.pairs_map(
                findings.test_PP,
                caption=f"Measured, test, where {'tried' if findings.chooses_epochs else 'trained to the end'}",
                limit=limit,
                names=names,
            ),
        ],
        "trials_map": heatmaps.pair_counts_map(
            findings.num_trials_PP, caption="Settings tried, in full or in part", names=names
        )
        if has_squares
        else None,
        "curve": curve_chart(findings.curve),
        "front_chart": front_chart(findings.front),
        "max_plan": _MAX_PLAN,
    }


def _advised(findings: TuningFindings) -> list[tuple[int, int]]:
    return [(choice.student, choice.teacher) for choice in findings.choices if choice.is_distilled]


def _lacks_intervals(findings: TuningFindings) -> bool:
    return bool(findings.mean_expected.num) and not findings.mean_expected.has_interval


def settings_map(findings: TuningFindings, names: Sequence[str]) -> heatmaps.HeatMap:
    """Return the table of chosen settings by student and teacher. ``names`` has the name of each peer."""
    num_peers = len(findings.expected_PP)
    cells = [[heatmaps.Cell("")] * num_peers for _ in range(num_peers)]
    for choice in findings.choices:
        cells[choice.student][choice.teacher] = _setting_cell(choice, findings)
    return heatmaps.settings_map(cells, dimensions=findings.dimensions, names=names)


def _setting_cell(choice: PairChoice, findings: TuningFindings) -> heatmaps.Cell:
    if not choice.is_distilled:
        return heatmaps.remark_cell("train on" if choice.decision == "fine_tune" else "leave")
    assert choice.transfer_set is not None
    assert choice.temperature is not None
    assert choice.alpha is not None
    return heatmaps.setting_cell(
        choice.transfer_set,
        choice.temperature,
        choice.alpha,
        {name: getattr(choice, name) for name in findings.dimensions},
        epochs=choice.epochs if findings.chooses_epochs and choice.epochs else None,
        is_muted=not choice.epochs,
    )


def _gain(fraction: float | None) -> str:
    return "\N{EN DASH}" if fraction is None else wording.true_minus(wording.points(fraction))
