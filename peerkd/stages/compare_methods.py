"""Stage: conclude which method is better, on one page and as numbers."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import Final

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.pcl import PclConfig
from peerkd.launch.edge import stage_edge
from peerkd.metrics.progress import say
from peerkd.reporting.methods import html, tables
from peerkd.reporting.methods.facts import PclFacts, RunFacts
from peerkd.reporting.methods.findings import compute_findings
from peerkd.results.cost import to_csv
from peerkd.results.curves import read_curves
from peerkd.stages import train_pcl
from peerkd.stages.cost import gather_accounts
from peerkd.stages.dataset import published_remarks
from peerkd.stages.opened_store import open_stage_store

NAME: Final = "compare_methods"
REPORT_NAME: Final = "report.html"
METHODS_NAME: Final = "methods.csv"
METRICS_NAME: Final = "metrics.json"
SUMMARY_NAME: Final = "summary.txt"
COST_NAME: Final = "cost.csv"


def run(
    *,
    config_json: str,
    store: str,
    runs_path: str,
    report_path: str,
    methods_path: str,
    log_metric: Callable[[str, float], None],
) -> str:
    """Publish the comparison, copy it to where the pipeline shows it, and return its key in the store.

    Args:
        config_json: The whole study as JSON.
        store: Address of the artifact store.
        runs_path: File with the reference to the runs.
        report_path: File that takes the page.
        methods_path: File that takes one line of CSV for each architecture, method and kind of accuracy.
        log_metric: Called with name and value of each headline number.
    """
    with stage_edge(NAME):
        opened = open_stage_store(NAME, store)
        runs = references.follow_file(runs_path, opened)
        manifest = compare(PclConfig.from_json(config_json), runs, opened)
        folder = opened.fetch(manifest.key)
        shutil.copyfile(folder / REPORT_NAME, report_path)
        shutil.copyfile(folder / METHODS_NAME, methods_path)
        for name, value in json.loads((folder / METRICS_NAME).read_text(encoding="utf-8")).items():
            log_metric(name, value)
    return manifest.key


def compare(config: PclConfig, runs: Manifest, store: ArtifactStore) -> Manifest:
    """Publish the comparison of a study, unless it is there."""
    accounts = gather_accounts({train_pcl.NAME: runs.key}, store)
    causes = {
        "runs": runs.fingerprint,
        "config": keys.differences(config, without=("compute",)),
        "peerkd": version("peerkd"),
    }
    key = keys.key(NAME, {**causes, "cost": accounts.causes})
    done = store.find(key)
    if done:
        say(NAME, "already done")
        return done
    table = read_curves(store.fetch(runs.key) / train_pcl.CURVES_NAME)
    facts = replace(gather_facts(config, runs, store), cost=accounts.cost())
    findings = compute_findings(table, facts)
    with store.open_workspace(key) as workspace:
        (workspace.folder / REPORT_NAME).write_text(html.render(findings, facts), encoding="utf-8")
        (workspace.folder / METHODS_NAME).write_text(tables.methods_csv(findings), encoding="utf-8")
        (workspace.folder / METRICS_NAME).write_text(
            json.dumps(tables.metrics(findings), indent=2, allow_nan=False), encoding="utf-8"
        )
        if facts.cost:
            (workspace.folder / COST_NAME).write_text(to_csv(facts.cost), encoding="utf-8")
        (workspace.folder / SUMMARY_NAME).write_text(tables.terminal_summary(findings, facts), encoding="utf-8")
        manifest = store.publish(
            key,
            metadata={
                "inputs": {"runs": references.reference(runs)},
                "summary": tables.summary(findings, facts),
            },
        )
    say(NAME, f"{len(facts.runs)} runs compared")
    return manifest


def gather_facts(config: PclConfig, runs: Manifest, store: ArtifactStore) -> PclFacts:
    """Collect from the chain of artifacts what a report says besides the curves."""
    split = references.follow(runs.metadata["inputs"]["split"], store)
    dataset = references.follow(split.metadata["inputs"]["dataset"], store)
    described = split.metadata
    channels, height, width = described["image_shape"]
    return PclFacts(
        config=config,
        config_fingerprint=keys.fingerprint(keys.differences(config, without=("compute",))),
        fingerprints={
            "data set": dataset.metadata["fingerprint"],
            "split": described["fingerprint"],
            "runs": runs.fingerprint,
            "curves": runs.metadata["fingerprint"],
        },
        versions=runs.metadata["versions"],
        device=runs.metadata["device"],
        machine=runs.metadata["machine"],
        class_names=tuple(described["class_names"]),
        image_shape=(channels, height, width),
        num_train_samples=described["num_train"],
        num_validation_samples=described["num_validation"],
        num_test_samples=described["num_test"],
        runs=tuple(RunFacts(**record) for record in runs.metadata["runs"]),
        data_remarks=published_remarks(dataset),
        data_warnings=tuple(described.get("warnings", ())),
    )
