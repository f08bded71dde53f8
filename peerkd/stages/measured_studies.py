"""The measurements of finished runs, in the form in which ``peerkd.results.compared_studies`` compares them."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from peerkd.arrays import FloatArray
from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.methods import METHODS
from peerkd.config.pcl import PclConfig
from peerkd.config.pipelines import find_pipeline
from peerkd.config.strict import StrictConfig
from peerkd.reporting.rounds.findings import compute_findings
from peerkd.results import choices
from peerkd.results.compared_studies import MeasuredStudy, Quantity
from peerkd.results.comparison import compare_methods
from peerkd.results.curves import curves_by_key, diverged_runs, read_curves
from peerkd.results.rounds import read_rounds
from peerkd.rounds import ROUND_METHODS
from peerkd.stages import collaborate_peers, train_pcl, tune_pairs
from peerkd.stages.build_report import PAIRS_NAME
from peerkd.stages.improve_peers import is_tuned
from peerkd.stages.run_record import EXPERIMENT_NAME, KIND
from peerkd.stages.stored_runs import StoredRun

_UNCOMPARED: Final = frozenset({"name", "seed", "num_seeds", "compute"})
"""The fields and sections that make no difference between groups of studies."""

_COLUMNS: Final[Mapping[str, str]] = {
    "best setting of each pair": "{gain}",
    "one setting for all pairs": "single_{gain}",
    "untuned default": "default_{gain}",
    "best training without a teacher": "control_{gain}",
    "best setting, the teacher's part": "{gain}_from_teacher",
}
"""The column with each quantity in the table of pairs, by the title of the quantity. ``{gain}`` stands for the name of
the gain on test data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedRun:
    """A finished run: its name for people, its config, and its report."""

    name: str
    config: StrictConfig
    report: Manifest


def finished_runs(runs: Sequence[StoredRun], store: ArtifactStore) -> list[FinishedRun]:
    """Return the names, the configs and the reports of runs, which a comparison needs.

    Raises:
        ValueError: If a run is unfinished, has no record of its config, or is of another pipeline than the first.
    """
    first = runs[0]
    for run in runs:
        if run.pipeline != first.pipeline:
            raise ValueError(
                f"RUN must name runs of one pipeline, got {first.name} of {first.pipeline} and {run.name} of "
                f"{run.pipeline}."
            )
        if run.report is None:
            raise ValueError(
                f"RUN must name finished runs, got {run.name}, which lacks {', '.join(run.stages_left)}: repeat the "
                "command that began it."
            )
        if not run.key.startswith(f"{KIND}/"):
            raise ValueError(
                f"RUN must name runs that recorded their settings, got {run.name}, which an earlier version of peerkd "
                "made: repeat the command that began it."
            )
    return [_finished(run, store) for run in runs]


def measured_studies(runs: Sequence[FinishedRun], store: ArtifactStore) -> list[MeasuredStudy]:
    """Return the studies of runs of one pipeline. A run has one study for each of its seeds.

    If runs with rounds have different lists of methods, the accuracy of the first method of each run is an additional
    quantity, so that these methods can be compared with each other.
    """
    orders = {run.config.rounds.methods for run in runs if isinstance(run.config, CollaborateConfig)}
    return [study for run in runs for study in _studies(run, store, names_first_method=len(orders) > 1)]


def settings_as_text(config: StrictConfig) -> dict[str, str]:
    """Return all settings that can differ between groups of studies, by dotted name. Lists are written as JSON."""
    values = {name: value for name, value in config.model_dump(mode="json").items() if name not in _UNCOMPARED}
    return dict(_flat(values, ""))


def _flat(values: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield path + name, value if isinstance(value, str) else json.dumps(value)


def _finished(run: StoredRun, store: ArtifactStore) -> FinishedRun:
    assert run.report is not None, "the caller has checked that the run is finished"
    text = (store.fetch(run.key) / EXPERIMENT_NAME).read_text(encoding="utf-8")
    return FinishedRun(name=run.name, config=find_pipeline(run.pipeline).config.from_json(text), report=run.report)


def _studies(run: FinishedRun, store: ArtifactStore, *, names_first_method: bool) -> Iterator[MeasuredStudy]:
    def study(seed: int, values: Mapping[Quantity, FloatArray], peers: str = "", **more_settings: str) -> MeasuredStudy:
        settings = {**more_settings, **settings_as_text(run.config)}
        return MeasuredStudy(run=run.name, seed=seed, settings=settings, peers=peers, values=values)

    match run.config:
        case ExperimentConfig() as config:
            improved = references.follow(run.report.metadata["inputs"]["improved"], store)
            trials = references.follow(improved.metadata["inputs"]["trials"], store)
            peers = trials.metadata["inputs"]["peers"]["fingerprint"]
            # The strategy is no field of the config, but an option of the command.
            strategy = "tune" if is_tuned(trials) else "sweep"
            gains = _tuned_gains(config, trials, store) if is_tuned(trials) else _swept_gains(config, run.report, store)
            yield study(config.seed, {**gains, **_better_peers(config, improved)}, peers, strategy=strategy)
        case CollaborateConfig() as config:
            rounds = references.follow(run.report.metadata["inputs"]["rounds"], store)
            peers = rounds.metadata["inputs"]["peers"]["fingerprint"]
            yield study(config.seed, _rounds(config, rounds, store, names_first_method=names_first_method), peers)
        case PclConfig() as config:
            runs = references.follow(run.report.metadata["inputs"]["runs"], store)
            for seed, values in _methods(config, runs, store).items():
                yield study(seed, values)


def _swept_gains(config: ExperimentConfig, report: Manifest, store: ArtifactStore) -> dict[Quantity, FloatArray]:
    """Return the gains of the pairs of a sweep from a table of its report, each of shape (num_peers, num_peers)."""
    with (store.fetch(report.key) / PAIRS_NAME).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scope = config.sweep.selection_metric.removesuffix("_accuracy")
    gains_PP = {}
    for title, column in _COLUMNS.items():
        name = column.format(gain=f"test_{scope}_gain")
        values = {(int(row["student"]), int(row["teacher"])): float(row[name] or "nan") for row in rows}
        gains_PP[title] = _of_pairs(values, num_peers=config.partition.num_peers)
    over_control_PP = gains_PP["best setting of each pair"] - gains_PP["best training without a teacher"]
    gains_PP["best setting minus best training without a teacher"] = over_control_PP
    return {Quantity(f"{scope} gain, {title}", is_accuracy=False): values for title, values in gains_PP.items()}


def _tuned_gains(config: ExperimentConfig, study: Manifest, store: ArtifactStore) -> dict[Quantity, FloatArray]:
    table = choices.read_table(store.fetch(study.key) / tune_pairs.CHOICES_NAME, choices.CHOICES)
    values = {
        (row["student"], row["teacher"]): np.nan if row["test_gain"] is None else row["test_gain"]
        for row in table.select(["student", "teacher", "test_gain"]).to_pylist()
    }
    quantity = Quantity("gain of the objective, chosen settings that were tried", is_accuracy=False)
    return {quantity: _of_pairs(values, num_peers=config.partition.num_peers)}


def _better_peers(config: ExperimentConfig, improved: Manifest) -> dict[Quantity, FloatArray]:
    """Return the gains of the published networks over the peers before the study, each of shape (num_peers,)."""
    gains: dict[Quantity, FloatArray] = {}
    for scope in ("global", "own"):
        name = f"test_{scope}_accuracy"
        gain_P = np.full(config.partition.num_peers, np.nan)
        for student in improved.metadata["students"]:
            gain_P[student["student"]] = student["after"][name] - student["before"][name]
        gains[Quantity(f"{scope} gain, better peers", is_accuracy=False)] = gain_P
    return gains


def _rounds(
    config: CollaborateConfig, rounds: Manifest, store: ArtifactStore, *, names_first_method: bool
) -> dict[Quantity, FloatArray]:
    """Return the accuracies of all peers after the last round, each of shape (num_peers,)."""
    found = compute_findings(read_rounds(store.fetch(rounds.key) / collaborate_peers.TABLE_NAME))
    named = {ROUND_METHODS[name].title: each for name, each in found.items()}
    if names_first_method:
        named = {"first method of the run": found[config.rounds.methods[0]], **named}
    return {
        Quantity(f"{scope} accuracy, {title}", is_accuracy=True): by_round_RP[-1]
        for title, each in named.items()
        for scope, by_round_RP in (("global", each.global_RP), ("own", each.own_RP))
    }


def _methods(config: PclConfig, runs: Manifest, store: ArtifactStore) -> dict[int, dict[Quantity, FloatArray]]:
    """Return the accuracy of every architecture and method by seed, as single numbers. It is NaN if a run diverged."""
    table = read_curves(store.fetch(runs.key) / train_pcl.CURVES_NAME)
    comparison = compare_methods(
        curves_by_key(table),
        architectures=config.architectures,
        methods=config.methods,
        num_branches=config.collaboration.num_branches,
        baseline=config.baseline,
        diverged=diverged_runs(table),
    )
    seeds = dict.fromkeys(run.seed for run in config.runs)
    return {
        seed: {
            Quantity(f"accuracy, {METHODS[method].title} with {architecture}", is_accuracy=True): np.array(
                comparison.scores[architecture, method, "deployed"].by_seed.get(seed, np.nan)
            )
            for architecture in config.architectures
            for method in config.methods
        }
        for seed in seeds
    }


def _of_pairs(values: Mapping[tuple[int, int], float], *, num_peers: int) -> FloatArray:
    values_PP = np.full((num_peers, num_peers), np.nan)
    for pair, value in values.items():
        values_PP[pair] = value
    return values_PP
