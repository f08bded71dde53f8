"""Stage: say who should teach whom and with what, on one page and as numbers."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pyarrow as pa

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.launch.edge import stage_edge
from peerkd.metrics.progress import say
from peerkd.reporting.choices import html, tables
from peerkd.reporting.choices.findings import StudyCost, compute_findings
from peerkd.reporting.wording import setting
from peerkd.results import choices, objective
from peerkd.results.cost import to_csv
from peerkd.results.divergence import divergence
from peerkd.results.front import front
from peerkd.results.table import mapped_table
from peerkd.stages import build_report, pretrain_peers, tune_pairs
from peerkd.stages.cost import gather_accounts
from peerkd.stages.opened_store import open_stage_store
from peerkd.training.plan import settings

NAME: Final = "report_choices"
PLAN_NAME: Final = "plan.csv"


def run(
    *,
    config_json: str,
    store: str,
    study_path: str,
    report_path: str,
    plan_path: str,
    log_metric: Callable[[str, float], None],
) -> str:
    """Publish the report, copy it to where the pipeline shows it, and return its key in the store.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        study_path: File with the reference to the tuned study.
        report_path: File that takes the page.
        plan_path: File that takes one line of CSV for every two peers one of whom should learn from the other.
        log_metric: Called with name and value of each headline number.
    """
    with stage_edge(NAME):
        opened = open_stage_store(NAME, store)
        study = references.follow_file(study_path, opened)
        manifest = report(ExperimentConfig.from_json(config_json), study, opened)
        folder = opened.fetch(manifest.key)
        shutil.copyfile(folder / build_report.REPORT_NAME, report_path)
        shutil.copyfile(folder / PLAN_NAME, plan_path)
        for name, value in json.loads((folder / build_report.METRICS_NAME).read_text(encoding="utf-8")).items():
            log_metric(name, value)
    return manifest.key


def report(config: ExperimentConfig, study: Manifest, store: ArtifactStore) -> Manifest:
    """Publish the report of a tuned study, unless it is there."""
    accounts = gather_accounts(
        {pretrain_peers.NAME: study.metadata["inputs"]["peers"]["key"], tune_pairs.NAME: study.key}, store
    )
    causes = {
        "study": study.fingerprint,
        "config": keys.differences(config, without=("compute",)),
        "peerkd": version("peerkd"),
    }
    key = keys.key(NAME, {**causes, "cost": accounts.causes})
    done = store.find(key)
    if done:
        say(NAME, "already done")
        return done
    folder = store.fetch(study.key)
    facts = replace(build_report.gather_facts(config, study, store), cost=accounts.cost())
    with mapped_table(folder / tune_pairs.TRIALS_NAME) as trials:
        untried = untried_settings(config, trials)
        what_diverged = divergence(trials, is_finite_P=facts.peers_are_finite)
        had_together = front(
            trials,
            objective=objective.of_study(config),
            num_pairs=study.metadata["num_pairs"],
            chooses_epochs=config.tune.chooses_epochs,
        )
    findings = compute_findings(
        choices.read_table(folder / tune_pairs.CHOICES_NAME, choices.CHOICES),
        choices.read_table(folder / tune_pairs.CURVE_NAME, choices.CURVE),
        front=had_together,
        untried_settings=untried,
        chooses_epochs=config.tune.chooses_epochs,
        cost=StudyCost(**{field.name: study.metadata[field.name] for field in fields(StudyCost)}),
        divergence=what_diverged,
        num_peers=facts.num_peers,
    )
    with store.open_workspace(key) as workspace:

        def write(name: str, text: str) -> None:
            Path(workspace.folder / name).write_text(text, encoding="utf-8")

        write(build_report.REPORT_NAME, html.render(findings, facts))
        write(PLAN_NAME, tables.plan_csv(findings))
        write(build_report.METRICS_NAME, json.dumps(tables.metrics(findings), indent=2, allow_nan=False))
        write(build_report.SUMMARY_NAME, tables.terminal_summary(findings, facts))
        if facts.cost:
            write(build_report.COST_NAME, to_csv(facts.cost))
        manifest = store.publish(
            key,
            metadata={
                "inputs": {"study": references.reference(study)},
                "summary": tables.summary(findings, facts),
            },
        )
    say(NAME, f"{findings.num_distilled} of {findings.num_pairs} ordered pairs to distil")
    return manifest


def untried_settings(config: ExperimentConfig, trials: pa.Table) -> list[str]:
    """Return in words the settings of the grid that no pair has tried."""
    names = ("transfer_set", "temperature", "alpha", "learning_rate")
    tried = set(zip(*(trials[name].to_pylist() for name in names), strict=True))
    grid = [
        (transfer_set, each.temperature, each.alpha, each.learning_rate)
        for transfer_set in config.sweep.transfer_sets
        for each in settings(config, transfer_set)
        if each.temperature is not None
    ]
    return [setting(*each) for each in grid if each not in tried]
