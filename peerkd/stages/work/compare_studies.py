"""The contents of the report on several studies: a page, a table, and the headline numbers."""

from collections.abc import Sequence

from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.pipelines import pipeline_of
from peerkd.config.strict import StrictConfig
from peerkd.reporting.compare import html, tables
from peerkd.reporting.facts import ComparedFacts
from peerkd.results.compared_studies import compare_studies
from peerkd.stages.measured_studies import FinishedRun, measured_studies
from peerkd.stages.report_stage import ReportContents
from peerkd.stages.run_record import short_name


def compute_contents(
    studies: Sequence[StrictConfig], reports: Sequence[Manifest], store: ArtifactStore
) -> ReportContents:
    """Return the contents of the report on several studies, given their configs and their reports."""
    runs = [
        FinishedRun(name=short_name(config, report.metadata["run"]), config=config, report=report)
        for config, report in zip(studies, reports, strict=True)
    ]
    comparison = compare_studies(measured_studies(runs, store))
    return ReportContents(
        page=html.render(comparison, ComparedFacts(pipeline=pipeline_of(studies[0]).name, config=studies[0])),
        table=tables.to_csv(comparison),
        metrics=tables.metrics(comparison),
        cost=None,
        summary=tables.summary(comparison),
        terminal_summary=tables.terminal_summary(comparison),
        line=tables.summary(comparison),
    )
