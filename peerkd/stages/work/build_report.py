"""The contents of the report on a sweep: a page, a table, and the headline numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.reporting import html, tables
from peerkd.reporting.facts import ExperimentFacts, ImprovedPeers, ImprovedStudent, PeerFacts
from peerkd.reporting.findings import compute_findings
from peerkd.results.table import mapped_table
from peerkd.stages import distill_pairs
from peerkd.stages.cost import Accounts
from peerkd.stages.division import batch_warnings, evaluation_sets
from peerkd.stages.peer_names import peer_names
from peerkd.stages.report_stage import ReportContents
from peerkd.stages.sample_images import find_samples
from peerkd.stages.work.facts_of_runs import common_facts
from peerkd.study.moved_bytes import MovedBytes, TeacherSizes, moved_bytes
from peerkd.training.inputs import peer_name


def compute_contents(
    config: ExperimentConfig, improved: Manifest, store: ArtifactStore, accounts: Accounts
) -> ReportContents:
    """Return the contents of the report on a sweep and on the better peers that were chosen from it."""
    trials = references.follow(improved.metadata["inputs"]["trials"], store)
    with mapped_table(store.fetch(trials.key) / distill_pairs.TABLE_NAME) as table:
        cost = accounts.cost(sweep=distill_pairs.NAME, trials=table)
        facts = replace(gather_facts(config, improved, store), cost=cost)
        findings = compute_findings(table, facts)
    return ReportContents(
        page=html.render(findings, facts),
        table=tables.pairs_csv(findings, facts.names),
        metrics=tables.metrics(findings),
        cost=facts.cost,
        summary=tables.summary(findings, facts),
        terminal_summary=tables.terminal_summary(findings, facts),
        loss_record=config.distill.loss_record,
        line=f"{findings.num_pairs} ordered pairs",
    )


def gather_facts(config: ExperimentConfig, improved: Manifest, store: ArtifactStore) -> ExperimentFacts:
    """Collect everything that a report states besides the trials, such as the data and the peers.

    Args:
        config: The experiment.
        improved: The artifact with the better peers. Its inputs lead to the artifacts with the trials, the peers, the
            partition and the data set.
        store: The artifact store.
    """
    trials = references.follow(improved.metadata["inputs"]["trials"], store)
    peers = references.follow(trials.metadata["inputs"]["peers"], store)
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    described = partition.metadata
    train_counts_PK = np.array(described["class_counts"], dtype=np.int64)
    moved, bytes_to_one_student = _moved(config, peers, described)
    names = peer_names(config, partition)
    return ExperimentFacts(
        **common_facts(
            config,
            results=trials,
            division=partition,
            dataset=dataset,
            warnings=batch_warnings(config, train_counts_PK.sum(axis=1), peer_names=names),
        ),
        config=config,
        names=names,
        samples=find_samples(partition, names, store),
        fingerprints={
            "data set": dataset.metadata["fingerprint"],
            "partition": described["fingerprint"],
            "peers": peers.fingerprint,
            "trials": trials.metadata["fingerprint"],
        },
        train_counts_PK=train_counts_PK,
        distances={name: np.array(matrix) for name, matrix in described["distances"].items()},
        peers=tuple(_peer_facts(record, described) for record in peers.metadata["peers"]),
        improved=ImprovedPeers(
            key=improved.key,
            chosen_by=improved.metadata["chosen_by"],
            students=tuple(ImprovedStudent(**student) for student in improved.metadata["students"]),
        ),
        evaluation_sets=tuple(evaluation_sets(described)),
        num_trials=trials.metadata["num_trials"],
        added=trials.metadata.get("added", {}),
        moved=moved,
        bytes_to_one_student=bytes_to_one_student,
        worker_seconds=trials.metadata["worker_seconds"],
    )


def _moved(
    config: ExperimentConfig, peers: Manifest, partition: Mapping[str, Any]
) -> tuple[dict[str, MovedBytes], dict[str, list[int]]]:
    """Return the bytes that leave the teachers, by kind of transfer set.

    The first mapping has the bytes of all pairs together. The second mapping has a list by peer: the bytes that leave
    the peer if it teaches one student. They are 0 for a peer that diverged.
    """
    if "image_shape" not in partition:
        return {}, {}
    sizes = [
        TeacherSizes(peer["num_train_samples"], peers.files[f"{peer_name(peer['peer'])}.safetensors"].num_bytes)
        if peer["is_finite"]
        else None
        for peer in peers.metadata["peers"]
    ]
    teachers = [each for each in sizes if each is not None]

    def count(name: str, teachers: Sequence[TeacherSizes], num_students: int) -> MovedBytes:
        return moved_bytes(
            name,
            teachers,
            num_students=num_students,
            num_public_samples=partition["num_public"],
            bytes_per_image=math.prod(partition["image_shape"]),
            num_classes=len(partition["class_counts"][0]),
            num_views=config.num_teacher_views,
        )

    names = config.sweep.tried_transfer_sets
    return (
        {name: count(name, teachers, len(teachers) - 1) for name in names},
        {name: [0 if each is None else sum(count(name, [each], 1)) for each in sizes] for name in names},
    )


def _peer_facts(record: dict[str, Any], partition: Any) -> PeerFacts:
    peer = record["peer"]
    return PeerFacts(
        **{name: value for name, value in record.items() if name != "peer"},
        num_own_validation_samples=partition["num_own_validation"][peer],
        num_own_test_samples=partition["num_own_test"][peer],
    )
