"""The stages that write a report: a page for people, a table, and the headline numbers."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.strict import StrictConfig
from peerkd.metrics.progress import print_line
from peerkd.results.cost import RunCost, to_csv
from peerkd.stages.cost import gather_accounts
from peerkd.stages.run_record import COMPARISON_KIND, now, run_of_report
from peerkd.stages.tracking import tracked

REPORT_NAME: Final = "report.html"
METRICS_NAME: Final = "metrics.json"
SUMMARY_NAME: Final = "summary.txt"
COST_NAME: Final = "cost.csv"
COMPARISON_NAME: Final = "comparison.csv"
"""The name of the table in a report on several studies."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportContents:
    """The contents of a report."""

    page: str
    """The page, as HTML."""

    table: str
    """The table, as CSV."""

    more_tables: Mapping[str, str] = field(default_factory=dict)
    """Further tables as CSV, by the names of their files."""

    metrics: Mapping[str, float]
    """The headline numbers by name."""

    cost: RunCost | None
    summary: Any
    """The summary as JSON values, for the manifest."""

    terminal_summary: str
    line: str
    """The last progress line of the stage."""

    loss_record: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """A description of the pair loss, such as its hyper-parameters and its reduction.

    The file with the headline numbers contains the description before the numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportStage:
    """The declaration of a stage that reports on one artifact.

    The function ``compute_contents(config, source, store, accounts)`` of the module ``peerkd.stages.work.<name>``
    returns the contents of the report. The module is imported only if the store does not have the report. If the store
    has it, the import would take more time and memory than everything else in the task.
    """

    name: str
    """The name of the stage, such as ``build_report``."""

    input_name: str
    """The name of the input artifact."""

    table_name: str
    """The file name of the table that the stage writes."""

    keys_of_steps: Callable[[Manifest], Mapping[str, str]]
    """A function of the input artifact. It returns the key of each artifact whose cost the report states, by the name
    of the stage that computed the artifact."""

    def make_all(self, config: StrictConfig, sources: Sequence[Manifest], store: ArtifactStore) -> Manifest:
        """Publish the report of each study and, if there are several, a report with the means over all of them.

        Args:
            config: The whole experiment.
            sources: The input artifact of each study.
            store: The artifact store.

        Returns:
            The manifest of the last report.
        """
        studies = config.studies
        reports = [self.make(study, source, store) for study, source in zip(studies, sources, strict=True)]
        return reports[0] if len(reports) == 1 else _make_comparison(studies, reports, store)

    def copy(
        self,
        manifest: Manifest,
        store: ArtifactStore,
        *,
        report_path: str,
        table_path: str,
        describe_table: Callable[[Mapping[str, str]], None],
        log_metric: Callable[[str, float], None],
    ) -> None:
        """Copy a report of this stage, or a report on several studies, to the outputs of a task.

        Args:
            manifest: The manifest that ``make_all`` returned.
            store: The artifact store.
            report_path: The file to which the page is copied.
            table_path: The file to which the table is copied.
            describe_table: Called with the metadata of the table: ``display_name``, the name of its file.
            log_metric: Called with the name and the value of each headline number.
        """
        folder = store.fetch(manifest.key)
        is_comparison = manifest.key.partition("/")[0] == COMPARISON_KIND
        table_name = COMPARISON_NAME if is_comparison else self.table_name
        shutil.copyfile(folder / REPORT_NAME, report_path)
        shutil.copyfile(folder / table_name, table_path)
        describe_table({"display_name": table_name})
        for name, value in json.loads((folder / METRICS_NAME).read_text(encoding="utf-8")).items():
            if not isinstance(value, dict):
                log_metric(name, value)

    def make(self, config: StrictConfig, source: Manifest, store: ArtifactStore) -> Manifest:
        """Compute and publish the report unless the store has it already, and return its manifest.

        Args:
            config: The whole experiment.
            source: The input artifact.
            store: The artifact store.
        """
        accounts = gather_accounts(self.keys_of_steps(source), store)
        causes = {
            self.input_name: references.reference(source),
            "config": keys.differences(config, without=("compute",)),
            "peerkd": version("peerkd"),
        }
        key = keys.key(self.name, {**causes, "cost": accounts.causes})
        done = store.find(key)
        if done:
            print_line(self.name, "already done")
            return done
        contents: ReportContents = _work(self.name).compute_contents(config, source, store, accounts)
        metadata = {
            "inputs": {self.input_name: references.reference(source)},
            "run": run_of_report(config, source, store, report_stage=self.name),
        }
        manifest = _publish(key, contents, store, table_name=self.table_name, metadata=metadata)
        with tracked(self.name, config, store) as tracker:
            if tracker:
                tracker.summarise(contents.metrics)
        print_line(self.name, contents.line)
        return manifest


def _work(name: str) -> Any:
    return import_module(f"peerkd.stages.work.{name}")


def _publish(
    key: str, contents: ReportContents, store: ArtifactStore, *, table_name: str, metadata: Mapping[str, Any]
) -> Manifest:
    texts = {
        REPORT_NAME: contents.page,
        table_name: contents.table,
        **contents.more_tables,
        METRICS_NAME: json.dumps({**contents.loss_record, **contents.metrics}, indent=2, allow_nan=False),
        SUMMARY_NAME: contents.terminal_summary,
    }
    if contents.cost:
        texts[COST_NAME] = to_csv(contents.cost)
    with store.open_workspace(key) as workspace:
        for name, text in texts.items():
            (workspace.folder / name).write_text(text, encoding="utf-8")
        return store.publish(
            key, metadata={**metadata, "finished_at": now(), "summary": contents.summary, "metrics": contents.metrics}
        )


def _make_comparison(studies: Sequence[StrictConfig], reports: Sequence[Manifest], store: ArtifactStore) -> Manifest:
    """Publish the report on several studies, unless the store has it already."""
    key = keys.key(
        COMPARISON_KIND,
        {"reports": [references.reference(report) for report in reports], "peerkd": version("peerkd")},
    )
    done = store.find(key)
    if done:
        print_line(COMPARISON_KIND, "already done")
        return done
    contents = _work(COMPARISON_KIND).compute_contents(studies, reports, store)
    metadata = {"inputs": {"reports": [references.reference(report) for report in reports]}}
    manifest = _publish(key, contents, store, table_name=COMPARISON_NAME, metadata=metadata)
    print_line(COMPARISON_KIND, contents.line)
    return manifest
