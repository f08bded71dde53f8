"""The contents of the report on rounds: a page, tables, and the headline numbers."""

from dataclasses import replace

import numpy as np

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.collaborate import CollaborateConfig
from peerkd.reporting.facts import RoundsFacts
from peerkd.reporting.rounds import html, tables
from peerkd.reporting.rounds.findings import compute_findings
from peerkd.reporting.rounds.settings import settings_csv
from peerkd.results.rounds import read_rounds
from peerkd.stages import collaborate_peers, pretrain_peers
from peerkd.stages.cost import Accounts
from peerkd.stages.division import batch_warnings
from peerkd.stages.peer_names import peer_names
from peerkd.stages.report_rounds import CLASSES_NAME, SETTINGS_NAME, TEACHERS_NAME
from peerkd.stages.report_stage import ReportContents
from peerkd.stages.sample_images import find_samples
from peerkd.stages.work.facts_of_runs import common_facts
from peerkd.wording import called


def compute_contents(
    config: CollaborateConfig, rounds: Manifest, store: ArtifactStore, accounts: Accounts
) -> ReportContents:
    """Return the contents of the report that compares the methods of an experiment with rounds."""
    findings = compute_findings(read_rounds(store.fetch(rounds.key) / collaborate_peers.TABLE_NAME))
    facts = replace(gather_facts(config, rounds, store), cost=accounts.cost())
    return ReportContents(
        page=html.render(findings, facts),
        table=tables.methods_csv(findings),
        more_tables={
            CLASSES_NAME: tables.classes_csv(findings, facts.class_names),
            TEACHERS_NAME: tables.teachers_csv(findings, facts.peer_numbers),
            **({SETTINGS_NAME: settings_csv(findings, facts)} if config.rounds.tune.enabled else {}),
        },
        metrics=tables.metrics(findings),
        cost=facts.cost,
        summary=tables.summary(findings, facts),
        terminal_summary=tables.terminal_summary(findings, facts),
        loss_record=config.rounds.loss_record,
        line=f"{len(findings)} methods compared over {config.rounds.num_rounds} rounds",
    )


def gather_facts(config: CollaborateConfig, rounds: Manifest, store: ArtifactStore) -> RoundsFacts:
    """Collect everything that a report states besides the measurements, such as the data and the peers.

    Args:
        config: The experiment.
        rounds: The artifact with the rounds. Its inputs lead to the artifacts with the peers, the partition and the
            data set.
        store: The artifact store.
    """
    peers = references.follow(rounds.metadata["inputs"]["peers"], store)
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    sizes_P = np.array(partition.metadata["class_counts"], dtype=np.int64).sum(axis=1)
    names = tuple(map(called, peer_names(config, partition)))
    taking_part = pretrain_peers.finite_peers(peers.metadata["peers"])
    return RoundsFacts(
        **common_facts(
            config,
            results=rounds,
            division=partition,
            dataset=dataset,
            warnings=batch_warnings(config, sizes_P, peer_names=peer_names(config, partition)),
        ),
        config=config,
        fingerprints={
            "data set": dataset.metadata["fingerprint"],
            "partition": partition.metadata["fingerprint"],
            "peers": peers.fingerprint,
            "rounds": rounds.metadata["fingerprint"],
        },
        peer_numbers=taking_part,
        samples=find_samples(partition, names, store),
        peers=tuple(names[peer] for peer in taking_part),
        networks=tuple(config.architectures[peer] for peer in taking_part),
        num_train_samples=tuple(int(sizes_P[peer]) for peer in taking_part),
        num_public_samples=partition.metadata["num_public"],
    )
