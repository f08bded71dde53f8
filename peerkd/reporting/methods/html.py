"""The findings of a study of methods as an HTML page."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from peerkd.config.methods import METHODS
from peerkd.reporting import charts, page
from peerkd.reporting.facts import PclFacts
from peerkd.reporting.methods import panels, wording
from peerkd.reporting.methods.findings import MAIN_METHOD, MethodFindings
from peerkd.reporting.methods.headline import headline, how_sure
from peerkd.reporting.methods.verdict import leaders, sentences
from peerkd.reporting.wording import true_minus
from peerkd.results.intervals import Estimate
from peerkd.results.published import MCL_OKD, SOURCES, WU_AND_GONG
from peerkd.results.seeds import Spread, verdict

SECTIONS: Final[Mapping[str, str]] = {
    "findings": "Findings",
    "accuracy": "Methods and backbones",
    "differences": "Against the baseline",
    "published": "Published numbers",
    "curves": "Curves",
    "cost": "Cost",
    "reading": "How to read this",
    "run": "What was run",
}
"""The title of each section by its id, which is also the name of its template."""


def render(findings: MethodFindings, facts: PclFacts) -> str:
    """Return the whole report as one self-contained page."""
    filters: dict[str, Callable[..., str]] = {
        "accuracy": wording.accuracy,
        "spread": _spread,
        "points2": lambda fraction: true_minus(wording.points(fraction)),
        "interval2": lambda estimate: true_minus(wording.interval(estimate)),
        "verdict": verdict,
    }
    return page.render(
        "methods.html",
        _view(findings, facts),
        facts=facts,
        sections=SECTIONS,
        section_folder="methods",
        filters=filters,
    )


def _view(findings: MethodFindings, facts: PclFacts) -> dict[str, Any]:
    comparison = findings.comparison
    architectures = comparison.architectures
    return {
        "findings": findings,
        "num_diverged": sum(comparison.num_diverged.values()),
        "comparison": comparison,
        "verdict": list(sentences(findings, facts)),
        "headline": headline(findings, facts),
        "how_sure": how_sure(findings, facts),
        "conventions": wording.conventions(facts.config.collaboration),
        "titles": {method: METHODS[method].title for method in comparison.methods},
        "made_of": {method: METHODS[method] for method in comparison.methods},
        "leaders": {name: leaders(findings, name) for name in architectures},
        "main_method": MAIN_METHOD,
        "main_title": METHODS[MAIN_METHOD].title,
        "difference_charts": _difference_charts(findings),
        "published": published_rows(findings, facts),
        "wu_and_gong": WU_AND_GONG,
        "mcl_okd": MCL_OKD,
        "sources": SOURCES,
        "what_differs": what_differs(facts),
        "ramps": {name: panels.ramp(findings, name) for name in architectures},
        "panels": {
            name: [panels.method_panels(findings, name, method) for method in comparison.methods]
            for name in architectures
        },
    }


def _difference_charts(findings: MethodFindings) -> dict[str, charts.IntervalChart]:
    """Return a chart of the differences from the baseline for each architecture that has such differences."""
    differences: dict[str, dict[str, Estimate]] = {}
    for (architecture, method), difference in findings.over_baseline.items():
        differences.setdefault(architecture, {})[METHODS[method].title] = difference
    return {name: charts.interval_chart(found, write=wording.points) for name, found in differences.items()}


def published_rows(findings: MethodFindings, facts: PclFacts) -> list[dict[str, Any]]:
    """Return a row with measured and published numbers for each architecture and method that has published numbers."""
    comparison = findings.comparison
    return [
        {
            "architecture": architecture,
            "method": METHODS[method].title,
            "here": comparison.spread(architecture, method, "deployed"),
            "ensemble_here": comparison.spread(architecture, method, "ensemble"),
            **{published.source: published for published in facts.published(architecture, method)},
        }
        for architecture in comparison.architectures
        for method in comparison.methods
        if facts.published(architecture, method)
    ]


def what_differs(facts: PclFacts) -> list[str]:
    """Return sentences on how this study differs from the published ones."""
    config = facts.config
    _, height, width = facts.image_shape
    differs = [
        f"Training samples: {facts.num_train_samples:,} here, 50,000 there; {facts.num_validation_samples:,} are held "
        "out for validation here.",
        f"Test samples: {facts.num_test_samples:,} here, 10,000 there.",
        f"Epochs: {config.training.epochs} here, 300 there; batches of {config.training.batch_size} here, 128 there.",
        f"Images: {height}x{width} pixels here, 32x32 there.",
        f"Seeds: {config.num_seeds} here; there the number is one or is not reported.",
        "Epoch of the result: the last epoch here; there it is the best epoch on test or is not reported.",
    ]
    if config.data.source not in ("cifar10", "cifar100"):
        differs.append(
            f"The data come from {config.data.source.replace('_', ' ')}. The names of their classes suggest CIFAR-10. "
            "If they are JPEG files, the images have lost detail that the published ones have."
        )
    return differs


def _spread(found: Spread | None) -> str:
    if found is None:
        return "\N{EN DASH}"
    return wording.spread(found).replace("+-", "\N{PLUS-MINUS SIGN}")
