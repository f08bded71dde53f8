"""The findings as one page of HTML that needs nothing else: no network, no storage, no script to be complete."""

from collections.abc import Mapping
from typing import Any, Final

from peerkd.reporting import charts, heatmaps, page, palette, wording
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.findings import TREATMENTS, SweepFindings, Treatment
from peerkd.reporting.headline import headline, verdict
from peerkd.results.pairs import CHANCE_OF_A_WIN, NUM_STANDARD_ERRORS
from peerkd.results.selection import NO_ROW
from peerkd.study.transfer_sets import TRANSFER_SETS

SECTIONS: Final[Mapping[str, str]] = {
    "findings": "Findings",
    "run": "What was run",
    "classes": "Classes of each peer",
    "peers": "Peers before distillation",
    "pairs": "Gain by pair",
    "parts": "Data or teacher",
    "settings": "Best settings",
    "tuning": "Tuned over default",
    "position": "Student or teacher",
    "forgetting": "Forgetting",
    "skew": "Gain against skew",
    "reading": "How to read this",
}
"""Title of each section by its id, which is also the name of its template."""

TREATMENT_LABELS: Final[Mapping[Treatment, str]] = {
    "chosen": "Best setting of each pair",
    "single": "One setting for all pairs",
    "default": "Untuned default",
    "control": "Fine-tuning, no teacher",
}


def render(findings: SweepFindings, facts: ExperimentFacts) -> str:
    """Return the whole report as one self-contained page.

    It can be opened from disk without a network, and shown in a frame with ``sandbox="allow-scripts"`` as Kubeflow's
    interface does, where storage, downloads and links into the page are not to be had.
    """
    filters = {"share_of": wording.share_of, "verdict": verdict}
    return page.render("report.html", _view(findings, facts), filters=filters)


def _view(findings: SweepFindings, facts: ExperimentFacts) -> dict[str, Any]:
    limit = heatmaps.shared_limit([findings.gains[treatment] for treatment in TREATMENTS])
    distance_name = next(iter(facts.distances), None)
    return {
        "findings": findings,
        "facts": facts,
        "config": facts.config,
        "config_json": facts.config.model_dump_json(indent=2),
        "config_sections": page.config_sections(facts.config),
        "sections": SECTIONS,
        "section_folder": "sections",
        "headline": headline(findings, facts),
        "palette_css": palette.css(),
        "limit": limit,
        "num_steps": palette.NUM_STEPS,
        "treatment_labels": TREATMENT_LABELS,
        "loss_formula": wording.loss_formula(facts.config.distill),
        "conventions": wording.conventions_in_words(facts.config.distill),
        "transfer_sets": TRANSFER_SETS,
        "default_setting": wording.default_setting(findings.default_transfer_set, findings.default_learning_rate),
        "single_setting": wording.single_setting(findings.single),
        "tuned_names": wording.tuned_names(has_rates=findings.has_rates),
        "mean_gains_chart": charts.interval_chart_data(
            {TREATMENT_LABELS[name]: findings.mean_gains[name, findings.scope] for name in TREATMENTS}
        ),
        "class_counts": heatmaps.class_counts_data(facts.train_counts_PK, facts.class_names),
        "gain_maps": [
            heatmaps.pairs_data(findings.gains[name], caption=TREATMENT_LABELS[name], limit=limit)
            for name in ("chosen", "default", "control")
        ],
        "part_maps": [
            heatmaps.pairs_data(
                findings.gain_from_data, caption="From the data: the same training without a teacher", limit=limit
            ),
            heatmaps.pairs_data(findings.gain_from_teacher, caption="From the teacher: the rest", limit=limit),
        ],
        "settings": settings_data(findings),
        "count_charts": {
            "Temperature": charts.bar_chart_data(_labelled(findings.counts.temperature)),
            "Alpha": charts.bar_chart_data(_labelled(findings.counts.alpha)),
            **(
                {"Learning rate": charts.bar_chart_data(_labelled(findings.counts.learning_rate))}
                if findings.has_rates
                else {}
            ),
            "Transfer set": charts.bar_chart_data(findings.counts.transfer_set),
        },
        "class_accuracy_lost": heatmaps.class_accuracy_lost_data(
            findings.forgetting.class_accuracy_lost,
            transfer_sets=findings.forgetting.transfer_sets,
            class_names=facts.class_names,
        ),
        "distance_labels": {name: wording.DISTANCE_LABELS.get(name, name) for name in facts.distances},
        "scatter_name": distance_name,
        "scatter": charts.scatter_data(facts.distances[distance_name], findings.gains["chosen"])
        if distance_name
        else None,
        "chart_width": charts.WIDTH,
        "bar_chart_width": charts.BAR_CHART_WIDTH,
        "num_standard_errors": NUM_STANDARD_ERRORS,
        "num_wins_by_chance": round(CHANCE_OF_A_WIN * findings.num_pairs),
    }


def settings_data(findings: SweepFindings) -> list[list[dict[str, Any] | None]]:
    """Return the chosen setting of each pair as text, None on the diagonal and where every trial diverged."""
    settings, choice = findings.settings, findings.choice
    helps_PP = choice.above_student & choice.above_control

    def cell(pair: tuple[int, int]) -> dict[str, Any] | None:
        if choice.chosen[pair] == NO_ROW:
            return None
        return {
            "temperature": wording.number(settings.temperature[pair]),
            "alpha": wording.number(settings.alpha[pair]),
            "learning_rate": wording.number(settings.learning_rate[pair]) if findings.has_rates else "",
            "transfer_set": str(settings.transfer_set[pair]),
            "is_default": bool(settings.is_default_recipe[pair]),
            "helps": bool(helps_PP[pair]),
        }

    peers = range(len(choice.chosen))
    return [[cell((student, teacher)) for teacher in peers] for student in peers]


def _labelled(counts: Mapping[float, int]) -> dict[str, int]:
    return {wording.number(value): count for value, count in counts.items()}
