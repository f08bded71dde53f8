"""The findings of a tuned study as one page of HTML that needs nothing else: no network, no storage, no script."""

from collections.abc import Mapping
from typing import Any, Final

from peerkd.reporting import charts, heatmaps, page, palette, wording
from peerkd.reporting.choices import curve, front
from peerkd.reporting.choices.findings import TuningFindings
from peerkd.reporting.choices.headline import headline
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.heatmaps import Cell, HeatMap
from peerkd.reporting.palette import step_class
from peerkd.study.transfer_sets import TRANSFER_SETS

SECTIONS: Final[Mapping[str, str]] = {
    "findings": "Findings",
    "plan": "Who should teach whom",
    "settings": "Chosen settings",
    "gains": "Gain by pair",
    "front": "Global against own accuracy",
    "curve": "Gain against cost",
    "untried": "What was not tried",
    "run": "What was run",
    "reading": "How to read this",
}
"""Title of each section by its id, which is also the name of its template."""

_MAX_PLAN: Final = 50
"""Lines of the plan that are shown at once."""


def render(findings: TuningFindings, facts: ExperimentFacts) -> str:
    """Return the whole report as one self-contained page; see ``peerkd.reporting.html.render``."""
    return page.render("choices.html", _view(findings, facts), filters={"gain": _gain})


def _view(findings: TuningFindings, facts: ExperimentFacts) -> dict[str, Any]:
    aim = facts.config.objective
    limit = heatmaps.shared_limit([findings.expected_PP, findings.test_PP])
    return {
        "findings": findings,
        "facts": facts,
        "config": facts.config,
        "config_json": facts.config.model_dump_json(indent=2),
        "config_sections": page.config_sections(facts.config),
        "sections": SECTIONS,
        "section_folder": "choices",
        "headline": headline(findings),
        "palette_css": palette.css(),
        "limit": limit,
        "num_steps": palette.NUM_STEPS,
        "metric": aim.accuracy_in_words,
        "limit_sentence": aim.limit_in_words,
        "loss_formula": wording.loss_formula(facts.config.distill),
        "conventions": wording.conventions_in_words(facts.config.distill),
        "transfer_sets": TRANSFER_SETS,
        "default_setting": wording.default_setting(
            facts.config.sweep.resolved_default_transfer_set,
            facts.config.default_learning_rate,
        ),
        "tuned_names": wording.tuned_names(has_rates=bool(facts.config.sweep.learning_rates)),
        "settings": settings_data(findings),
        "gain_maps": [
            heatmaps.pairs_data(findings.expected_PP, caption="Expected, validation", limit=limit),
            heatmaps.pairs_data(
                findings.test_PP,
                caption=f"Measured, test, where {'tried' if findings.chooses_epochs else 'done whole'}",
                limit=limit,
            ),
        ],
        "trials_map": _trials_map(findings),
        "curve": curve.curve_chart_data(findings.curve),
        "curve_height": curve.HEIGHT,
        "front_chart": front.front_chart_data(findings.front),
        "front_height": front.HEIGHT,
        "chart_width": charts.WIDTH,
        "max_plan": _MAX_PLAN,
    }


def settings_data(findings: TuningFindings) -> list[list[dict[str, Any] | None]]:
    """Return for each student and teacher the decision as text, None on the diagonal."""
    num_peers = len(findings.expected_PP)
    cells: list[list[dict[str, Any] | None]] = [[None] * num_peers for _ in range(num_peers)]
    for choice in findings.choices:
        cells[choice.student][choice.teacher] = {
            "is_distilled": choice.is_distilled,
            "temperature": "" if choice.temperature is None else wording.number(choice.temperature),
            "alpha": "" if choice.alpha is None else wording.number(choice.alpha),
            "learning_rate": "" if choice.learning_rate is None else wording.number(choice.learning_rate),
            "transfer_set": choice.transfer_set,
            "is_tried": choice.epochs > 0,
            "epochs": choice.epochs if findings.chooses_epochs else 0,
        }
    return cells


def _trials_map(findings: TuningFindings) -> HeatMap:
    labels = [str(peer) for peer in range(len(findings.num_trials_PP))]
    most = max(1.0, max(choice.num_trials for choice in findings.choices))
    rows = [
        [Cell("", "") if num != num else Cell(f"{num:.0f}", step_class(num, limit=most)) for num in row]
        for row in findings.num_trials_PP.tolist()
    ]
    return HeatMap(
        caption="Settings tried, whole or in part",
        row_axis="student",
        column_axis="teacher",
        columns=labels,
        rows=list(zip(labels, rows, strict=True)),
    )


def _gain(fraction: float | None) -> str:
    return "\N{EN DASH}" if fraction is None else page.true_minus(wording.points(fraction))
