"""The contents of the report on a tuned study: a page, a table, and the headline numbers."""

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.reporting.choices import html, tables
from peerkd.reporting.choices.findings import StudyCost, compute_findings
from peerkd.reporting.verdict import count_who_learns
from peerkd.reporting.wording import setting
from peerkd.results import choices
from peerkd.results.divergence import divergence
from peerkd.results.front import front
from peerkd.results.table import mapped_table
from peerkd.stages import tune_pairs
from peerkd.stages.cost import Accounts
from peerkd.stages.report_stage import ReportContents
from peerkd.stages.work import build_report
from peerkd.study.grid import settings


def compute_contents(
    config: ExperimentConfig, improved: Manifest, store: ArtifactStore, accounts: Accounts
) -> ReportContents:
    """Return the contents of the report on a tuned study and on the better peers that were chosen from it."""
    study = references.follow(improved.metadata["inputs"]["trials"], store)
    folder = store.fetch(study.key)
    facts = replace(build_report.gather_facts(config, improved, store), cost=accounts.cost())
    with mapped_table(folder / tune_pairs.TRIALS_NAME) as trials:
        grid = _grid(config)
        untried = _untried_settings(grid, trials)
        diverged = divergence(trials, is_finite_P=facts.peers_are_finite, num_pairs_left_out=facts.num_pairs_left_out)
        points = front(
            trials.filter(pc.field("distillation_weight") > 0),
            objective=config.objective,
            num_pairs=study.metadata["num_pairs"],
            chooses_epochs=config.tune.chooses_epochs,
        )
    findings = compute_findings(
        choices.read_table(folder / tune_pairs.CHOICES_NAME, choices.CHOICES),
        choices.read_table(folder / tune_pairs.CURVE_NAME, choices.CURVE),
        front=points,
        untried_settings=untried,
        num_settings=len(grid),
        chooses_epochs=config.tune.chooses_epochs,
        why_no_experience=study.metadata["why_no_experience"],
        cost=StudyCost(**{field.name: study.metadata[field.name] for field in fields(StudyCost)}),
        divergence=diverged,
        num_peers=facts.num_peers,
    )
    return ReportContents(
        page=html.render(findings, facts),
        table=tables.plan_csv(findings, facts.names),
        metrics=tables.metrics(findings),
        cost=facts.cost,
        summary=tables.summary(findings, facts),
        terminal_summary=tables.terminal_summary(findings, facts),
        loss_record=config.distill.loss_record,
        line=count_who_learns(facts),
    )


_Setting: TypeAlias = tuple[str, float, float, float | None, str | None, str | None]
"""A setting as a tuple: kind of transfer set, temperature, alpha, learning rate, loss and target."""


def _untried_settings(grid: Iterable[_Setting], trials: pa.Table) -> list[str]:
    """Return a description of each setting of the grid that no pair has tried."""
    names = ("transfer_set", "temperature", "alpha", "learning_rate", "loss", "target")
    tried = set(zip(*(trials[name].to_pylist() for name in names), strict=True))
    return [setting(*each) for each in grid if each not in tried]


def _grid(config: ExperimentConfig) -> list[_Setting]:
    """Return the settings that each pair can try."""
    return [
        (transfer_set, each.temperature, each.alpha, each.learning_rate, each.loss, each.target)
        for transfer_set in config.sweep.tried_transfer_sets
        for each in settings(config.grid, transfer_set)
        if each.temperature is not None
    ]
