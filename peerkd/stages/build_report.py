"""Stage: conclude from the trials, on one page and as numbers."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.launch.edge import stage_edge
from peerkd.metrics.progress import say
from peerkd.reporting import html, tables
from peerkd.reporting.facts import PeerFacts, RunFacts
from peerkd.reporting.findings import compute_findings
from peerkd.results.cost import to_csv
from peerkd.results.table import mapped_table
from peerkd.stages import distill_pairs, pretrain_peers
from peerkd.stages.cost import gather_accounts
from peerkd.stages.dataset import published_remarks
from peerkd.stages.opened_store import open_stage_store

NAME: Final = "build_report"
REPORT_NAME: Final = "report.html"
PAIRS_NAME: Final = "pairs.csv"
METRICS_NAME: Final = "metrics.json"
SUMMARY_NAME: Final = "summary.txt"
COST_NAME: Final = "cost.csv"


def run(
    *,
    config_json: str,
    store: str,
    trials_path: str,
    report_path: str,
    pairs_path: str,
    log_metric: Callable[[str, float], None],
) -> str:
    """Publish the report, copy it to where the pipeline shows it, and return its key in the store.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        trials_path: File with the reference to the table of trials.
        report_path: File that takes the page.
        pairs_path: File that takes one line of CSV for each ordered pair.
        log_metric: Called with name and value of each headline number.
    """
    with stage_edge(NAME):
        opened = open_stage_store(NAME, store)
        trials = references.follow_file(trials_path, opened)
        manifest = report(ExperimentConfig.from_json(config_json), trials, opened)
        folder = opened.fetch(manifest.key)
        shutil.copyfile(folder / REPORT_NAME, report_path)
        shutil.copyfile(folder / PAIRS_NAME, pairs_path)
        for name, value in json.loads((folder / METRICS_NAME).read_text(encoding="utf-8")).items():
            log_metric(name, value)
    return manifest.key


def report(config: ExperimentConfig, trials: Manifest, store: ArtifactStore) -> Manifest:
    """Publish the report of an experiment, unless it is there."""
    accounts = gather_accounts(
        {pretrain_peers.NAME: trials.metadata["inputs"]["peers"]["key"], distill_pairs.NAME: trials.key}, store
    )
    causes = {
        "trials": trials.fingerprint,
        "config": keys.differences(config, without=("compute",)),
        "peerkd": version("peerkd"),
    }
    key = keys.key(NAME, {**causes, "cost": accounts.causes})
    done = store.find(key)
    if done:
        say(NAME, "already done")
        return done
    with mapped_table(store.fetch(trials.key) / distill_pairs.TABLE_NAME) as table:
        facts = replace(gather_facts(config, trials, store), cost=accounts.cost(sweep=distill_pairs.NAME, trials=table))
        findings = compute_findings(table, facts)
    with store.open_workspace(key) as workspace:
        (workspace.folder / REPORT_NAME).write_text(html.render(findings, facts), encoding="utf-8")
        (workspace.folder / PAIRS_NAME).write_text(tables.pairs_csv(findings), encoding="utf-8")
        (workspace.folder / METRICS_NAME).write_text(
            json.dumps(tables.metrics(findings), indent=2, allow_nan=False), encoding="utf-8"
        )
        if facts.cost:
            (workspace.folder / COST_NAME).write_text(to_csv(facts.cost), encoding="utf-8")
        (workspace.folder / SUMMARY_NAME).write_text(tables.terminal_summary(findings, facts), encoding="utf-8")
        manifest = store.publish(
            key,
            metadata={
                "inputs": {"trials": references.reference(trials)},
                "summary": tables.summary(findings, facts),
            },
        )
    say(NAME, f"{findings.num_pairs} ordered pairs")
    return manifest


def gather_facts(config: ExperimentConfig, trials: Manifest, store: ArtifactStore) -> RunFacts:
    """Collect from the chain of artifacts what a report says besides the trials."""
    peers = references.follow(trials.metadata["inputs"]["peers"], store)
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    described = partition.metadata
    return RunFacts(
        config=config,
        config_fingerprint=keys.fingerprint(keys.differences(config, without=("compute",))),
        fingerprints={
            "data set": dataset.metadata["fingerprint"],
            "partition": described["fingerprint"],
            "peers": peers.fingerprint,
            "trials": trials.metadata["fingerprint"],
        },
        versions=trials.metadata["versions"],
        device=trials.metadata["device"],
        machine=trials.metadata["machine"],
        class_names=tuple(described["class_names"]),
        train_counts_PK=np.array(described["class_counts"], dtype=np.int64),
        num_validation_samples=described["num_validation"],
        num_test_samples=described["num_test"],
        distances={name: np.array(matrix) for name, matrix in described["distances"].items()},
        peers=tuple(_peer_facts(record, described) for record in peers.metadata["peers"]),
        num_trials=trials.metadata["num_trials"],
        worker_seconds=trials.metadata["worker_seconds"],
        data_remarks=published_remarks(dataset),
        data_warnings=tuple(described.get("warnings", ())),
    )


def _peer_facts(record: dict[str, Any], partition: Any) -> PeerFacts:
    peer = record["peer"]
    return PeerFacts(
        **{name: value for name, value in record.items() if name != "peer"},
        num_own_validation_samples=partition["num_own_validation"][peer],
        num_own_test_samples=partition["num_own_test"][peer],
    )
