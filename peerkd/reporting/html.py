"""The findings of a full sweep as an HTML page."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from peerkd.reporting import charts, controls, explorer, figures, heatmaps, page, wording
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.findings import TREATMENTS, SweepFindings, Treatment
from peerkd.reporting.headline import headline, remarks
from peerkd.reporting.improved import decision_in_words
from peerkd.reporting.improved import headline as better_peers
from peerkd.reporting.peer_answers import MAX_ON_FIRST_SCREEN, decided_pairs
from peerkd.reporting.scripts import EXPLORER
from peerkd.reporting.small_validation import limit_of_validation
from peerkd.reporting.verdict import answers_of_sweep, verdict
from peerkd.results.pair_rows import NO_ROW
from peerkd.results.pairs import CHANCE_OF_A_WIN, NUM_STANDARD_ERRORS
from peerkd.study.objective import objective_of
from peerkd.study.transfer_sets import names_without_labels

SECTIONS: Final[Mapping[str, str]] = {
    "verdict": "Verdict",
    "surface": "Temperature and alpha",
    "pairs": "Gain by pair",
    "pair": "One pair",
    "findings": "Findings",
    "improved": "Better peers",
    "peers": "Peers before distillation",
    "classes": "Classes of each peer",
    "parts": "Data or teacher",
    "settings": "Best settings",
    "tuning": "Tuned over default",
    "position": "Student or teacher",
    "forgetting": "Forgetting",
    "skew": "Gain against skew",
    "reading": "How to read this",
    "run": "What was run",
}
"""The title of each section by its id, which is also the name of its template."""

_TREATMENT_LABELS: Final[Mapping[Treatment, str]] = {
    "chosen": "Best setting of each pair",
    "single": "One setting for all pairs",
    "default": "Untuned default",
}


def treatment_labels(findings: SweepFindings) -> dict[Treatment, str]:
    """Return the label of each treatment. The label of the control depends on what the best controls are."""
    return {**_TREATMENT_LABELS, "control": controls.control_name(findings.num_imitations).capitalize()}


def render(findings: SweepFindings, facts: ExperimentFacts) -> str:
    """Return the whole report as one self-contained page."""
    return page.render(
        "report.html",
        _view(findings, facts),
        facts=facts,
        sections=SECTIONS,
        section_folder="sections",
        filters={"share_of": wording.share_of, "remarks": remarks, "decision": decision_in_words},
        more_scripts=EXPLORER,
    )


def _view(findings: SweepFindings, facts: ExperimentFacts) -> dict[str, Any]:
    names = facts.names
    advised, shares = findings.advice.pairs_to_distil(), explorer.importance_of_dimensions(findings)
    labels = treatment_labels(findings)
    planned = facts.config.pairs()
    network = charts.network_chart(
        names, findings.gains["chosen"], decided=decided_pairs(facts), alone=advised, gain_noun="on test"
    )
    return {
        **page.distillation_view(facts.config),
        "findings": findings,
        "verdict": verdict(facts),
        # The verdict says once what cannot be said of few peers.
        "headline": [
            *(each for each in headline(findings, facts) if each.topic != "Intervals"),
            better_peers(facts.improved),
        ],
        "study_data": figures.to_json(explorer.study_data(findings, facts)),
        "answers": answers_of_sweep(facts),
        "max_answers": MAX_ON_FIRST_SCREEN,
        "network_chart": network,
        "limit_of_validation": limit_of_validation(facts, objective_of(facts.config.sweep.selection_metric)),
        "network_note": charts.network_note(network),
        "edges": wording.at_edges(findings.edges),
        "added": wording.added_values(facts.added),
        "importance_chart": charts.share_chart(shares),
        "unexplained": 1 - sum(shares.values()),
        "no_intervals": wording.NO_INTERVALS,
        "treatment_labels": labels,
        "single_setting": wording.single_setting(findings.single),
        "control": controls.control(findings.transfer_sets, num_imitations=findings.num_imitations),
        "kinds_of_controls": controls.kinds_of_controls(
            findings.num_imitations, findings.mean_gains["control", findings.scope].num
        ),
        "default_without_labels": wording.default_recipe(
            names_without_labels(findings.transfer_sets), findings.default
        ),
        "without_control": wording.without_control(findings.transfer_sets),
        "tuned_names": wording.tuned_names(findings.default.dimensions),
        "mean_gains_chart": charts.interval_chart(
            {labels[name]: findings.mean_gains[name, findings.scope] for name in TREATMENTS}
        ),
        "class_counts": heatmaps.class_counts_map(facts.train_counts_PK, facts.class_names, names),
        # A square of all peers would have few cells with a setting.
        "settings": settings_map(findings, names) if facts.config.sweep.num_partners is None else None,
        "partners": [planned.partners(peer) for peer in range(facts.num_peers)],
        "names": names,
        "both_controls": wording.BOTH_CONTROLS if controls.has_results(findings.choice.control) else controls.UNCHANGED,
        "count_charts": _count_charts(findings),
        "class_accuracy_lost": heatmaps.lost_accuracy_map(
            findings.forgetting.class_accuracy_lost,
            transfer_sets=findings.forgetting.transfer_sets,
            class_names=facts.class_names,
        ),
        "distance_labels": {name: wording.DISTANCE_LABELS.get(name, name) for name in facts.distances},
        "scatter": _scatter(findings, facts),
        "num_standard_errors": NUM_STANDARD_ERRORS,
        "num_wins_by_chance": round(CHANCE_OF_A_WIN * findings.num_pairs),
    }


def settings_map(findings: SweepFindings, names: Sequence[str]) -> heatmaps.HeatMap:
    """Return the table of chosen settings by student and teacher. ``names`` has the name of each peer."""
    settings, choice, decision_PP = findings.settings, findings.choice, findings.advice.decision

    def cell(pair: tuple[int, int]) -> heatmaps.Cell:
        if pair[0] == pair[1]:
            return heatmaps.Cell("")
        if choice.chosen[pair] == NO_ROW:
            return heatmaps.remark_cell("diverged")
        return heatmaps.setting_cell(
            str(settings.transfer_set[pair]),
            settings.temperature[pair],
            settings.alpha[pair],
            {name: getattr(settings, name)[pair] for name in findings.default.dimensions},
            is_default=bool(settings.is_default_recipe[pair]),
            is_muted=decision_PP[pair] != "distil",
        )

    peers = range(len(choice.chosen))
    cells = [[cell((student, teacher)) for teacher in peers] for student in peers]
    return heatmaps.settings_map(cells, dimensions=findings.default.dimensions, names=names)


def _count_charts(findings: SweepFindings) -> dict[str, charts.BarChart]:
    counts = findings.counts
    by_value: dict[str, Mapping[Any, int]] = {}
    if counts.temperature:
        by_value["Temperature"] = counts.temperature
    if counts.alpha:
        by_value["Alpha"] = counts.alpha
    by_value |= {name.replace("_", " ").capitalize(): each for name, each in counts.dimensions.items()}
    return {
        **{
            name: charts.bar_chart({wording.value(value): count for value, count in each.items()})
            for name, each in by_value.items()
        },
        "Transfer set": charts.bar_chart(counts.transfer_set),
    }


def _scatter(findings: SweepFindings, facts: ExperimentFacts) -> charts.XYChart | None:
    if not facts.distances:
        return None
    name, distance_PP = next(iter(facts.distances.items()))
    label = wording.DISTANCE_LABELS.get(name, name)
    return charts.scatter_chart(distance_PP, findings.gains["chosen"], names=facts.names, distance_label=label)
