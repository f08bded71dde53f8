"""The comparison of finished runs of a store, and the page about it."""

from collections.abc import Sequence
from typing import NamedTuple

from peerkd.artifacts.store import ArtifactStore
from peerkd.reporting.compare import html
from peerkd.reporting.facts import ComparedFacts
from peerkd.results.compared_studies import StudyComparison, compare_studies
from peerkd.stages.measured_studies import finished_runs, measured_studies
from peerkd.stages.stored_runs import StoredRun


class ComparedRuns(NamedTuple):
    """Several finished runs side by side."""

    comparison: StudyComparison
    facts: ComparedFacts

    def render_page(self) -> str:
        """Return the comparison as one self-contained page of HTML."""
        return html.render(self.comparison, self.facts)


def compare_runs(runs: Sequence[StoredRun], store: ArtifactStore) -> ComparedRuns:
    """Return what differs between the settings of runs and between their results.

    Raises:
        ValueError: If there are fewer than two runs, if a run is given twice or is unfinished, or if the runs cannot be
            compared.
    """
    if len(runs) < 2:
        raise ValueError(f"RUN must name at least two runs, got {len(runs)}.")
    keys = [run.key for run in runs]
    for run in runs:
        if keys.count(run.key) > 1:
            raise ValueError(f"RUN must name each run once, got {run.name} {keys.count(run.key)} times.")
    finished = finished_runs(runs, store)
    comparison = compare_studies(measured_studies(finished, store))
    return ComparedRuns(comparison, ComparedFacts(pipeline=runs[0].pipeline, config=finished[0].config))
