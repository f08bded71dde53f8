"""Runs of a store with the artifacts that their stages would publish, without any training."""

from typing import Any

import pytest

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.launch.order import JobAccount
from peerkd.stages.command import find_stage
from peerkd.stages.launched_stage import publish_accounts
from peerkd.stages.run_record import ROUTES, Route, record_run, run_of_report
from peerkd.stages.stored_runs import StoredRun, list_runs

SWEEP, TUNE, PCL, COLLABORATE = ROUTES
INPUTS = {
    "pretrain_peers": "partition",
    "distill_pairs": "peers",
    "tune_pairs": "peers",
    "improve_peers": "trials",
    "train_pcl": "split",
    "collaborate_peers": "peers",
}
SUMMARY = {
    "experiment": "digits",
    "num_pairs": 90.0,
    "num_pairs_to_distil": 12.0,
    "advised_over_best_control_points": 1.25,
    "advised_over_best_control_low_points": 0.5,
    "advised_over_best_control_high_points": 2.0,
}


def publish(store: ArtifactStore, key: str, *, content: str = "", **metadata: Any) -> Manifest:
    with store.open_workspace(key) as workspace:
        (workspace.folder / "content").write_text(content or key)
        return store.publish(key, metadata=metadata)


def begin(
    store: ArtifactStore, config: ExperimentConfig | PclConfig, route: Route, *, records: bool = True
) -> Manifest:
    """Publish what the first stage of a run publishes, and return the partition or split."""
    dataset = publish(store, "dataset/0123456789abcdef", name="digits")
    key = keys.key(route.stages[0], {"seed": config.seed})
    division = publish(store, key, inputs={"dataset": references.reference(dataset)})
    if records:
        record_run(config, division, store, route=route)
    return division


def go_on(
    store: ArtifactStore, config: ExperimentConfig | PclConfig, route: Route, last: Manifest, *, num_stages: int
) -> Manifest:
    """Publish the artifacts of the next stages, each after a job of 60 s with two workers, and return the last one."""
    for noun in route.stages[1 : 1 + num_stages]:
        key = find_stage(noun).key(config, last)
        last = publish(store, key, inputs={INPUTS[noun]: references.reference(last)}, fingerprint=64 * "c")
        job = JobAccount(name="local", seconds=60, num_workers=2, gpus_per_worker=0)
        publish_accounts([job], key=key, store=store)
    return last


def report(
    store: ArtifactStore,
    config: ExperimentConfig | PclConfig,
    route: Route,
    results: Manifest,
    *,
    key: str = "",
    summary: Any = SUMMARY,
    names_run: bool = True,
    **metadata: Any,
) -> Manifest:
    noun = route.stages[-1]
    if names_run:
        metadata["run"] = run_of_report(config, results, store, report_stage=noun)
    with store.open_workspace(key or f"{noun}/00000000000000aa") as workspace:
        for name in ("summary.txt", "report.html", "pairs.csv", "cost.csv"):
            (workspace.folder / name).write_text(f"the content of {name}")
        inputs = {"results": references.reference(results)}
        return store.publish(
            key or f"{noun}/00000000000000aa", metadata={"inputs": inputs, "summary": summary, **metadata}
        )


def experiment(overrides: str = "") -> ExperimentConfig:
    return resolve(JOINTKD, preset="digits", overrides=overrides)


def runs_of(store: ArtifactStore) -> list[StoredRun]:
    return list_runs(store, notify=pytest.fail)


def finish(store: ArtifactStore, config: ExperimentConfig, **options: Any) -> Manifest:
    division = begin(store, config, SWEEP)
    return report(store, config, SWEEP, go_on(store, config, SWEEP, division, num_stages=3), **options)


def finish_two(store: ArtifactStore) -> tuple[StoredRun, set[str]]:
    """Publish two runs that share the partition and the peers, but not the trials.

    Return the second run, called gone, and the keys of all artifacts that the first one, called kept, needs.
    """
    kept, gone = experiment("name=kept"), experiment("name=gone sweep.temperatures=[2]")
    division = begin(store, kept, SWEEP)
    begin(store, gone, SWEEP)
    report(store, kept, SWEEP, go_on(store, kept, SWEEP, division, num_stages=3))
    before = set(store.keys())
    report(store, gone, SWEEP, go_on(store, gone, SWEEP, division, num_stages=3), key="build_report/00000000000000bb")
    (second,) = (run for run in runs_of(store) if run.name.startswith("gone"))
    return second, before - {second.key}
