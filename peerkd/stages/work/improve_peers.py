"""The work of one worker that publishes better peers. A shard is a student."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import pyarrow as pa

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.architectures import network_modules
from peerkd.config.experiment import ExperimentConfig
from peerkd.data.streamed import open_dataset
from peerkd.launch.worker import Worker
from peerkd.metrics import recorder
from peerkd.metrics.progress import Progress, print_line
from peerkd.reporting.model_card import ModelCard
from peerkd.results import choices
from peerkd.results.reproduction import differing_columns, find_row
from peerkd.results.table import mapped_table
from peerkd.stages import distill_pairs, machine, pretrain_peers, tune_pairs
from peerkd.stages.division import evaluation_sets
from peerkd.stages.improve_peers import NAME, is_tuned, key, summary
from peerkd.stages.journals import Record
from peerkd.stages.shard_queue import ShardQueue, StageWork, open_shard_queue
from peerkd.stages.shards import SCRATCH, Shard
from peerkd.stages.work.improving.candidates import swept_tasks, tuned_tasks
from peerkd.stages.work.improving.cards import build_card, weights_name, write_card
from peerkd.study.objective import Objective, objective_of
from peerkd.study.trials import record_identity
from peerkd.training.inputs import ImproveInputs, StudentTask, SweepInputs, student_name
from peerkd.training.process_pool import run_in_processes

_STATES: Final = f"{SCRATCH}states"

_FEW_SAMPLES: Final = 500_000
"""Samples of training that a process of its own is not worth, because it takes seconds to start."""


class _Sources(NamedTuple):
    """The chain of artifacts behind the trials."""

    trials: Manifest
    peers: Manifest
    partition: Manifest
    dataset: Manifest


def perform(config: ExperimentConfig, trials: Manifest, store: ArtifactStore, worker: Worker) -> None:
    """Train this worker's students; the first worker publishes all of them with their cards."""
    artifact = key(config, trials)
    peers = references.follow(trials.metadata["inputs"]["peers"], store)
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    sources = _Sources(trials, peers, partition, dataset)
    device, num_processes = machine.choose_device(config.compute, is_in_process=worker.is_in_process)
    config = _as_judged(config, is_tuned=is_tuned(trials))
    objective = config.objective if is_tuned(trials) else objective_of(config.sweep.selection_metric)
    students = pretrain_peers.finite_peers(peers.metadata["peers"])
    shards = [
        Shard(name=student_name(task.student), tasks=(task,), num_records=1)
        for task in _tasks(config, sources, store, students)
    ]
    progress = Progress(NAME, unit="students", total=len(shards))
    work = StageWork(
        stage=NAME,
        shards=shards,
        identity=lambda record: record["student"],
        remaining=lambda tasks, finished: [task for task in tasks if task.student not in finished],
        on_recovered=progress.recover,
        on_done_elsewhere=progress.follow,
    )
    with store.open_workspace(artifact, shared=not worker.is_alone) as workspace:
        inputs = ImproveInputs(
            sweep=SweepInputs(
                config=config,
                dataset_folder=store.fetch(dataset.key),
                partition_folder=store.fetch(partition.key),
                peers_folder=store.fetch(peers.key),
                finite_peers=students,
                device=device,
                states_folder=workspace.folder / _STATES,
            ),
            objective=objective,
            weights_folder=workspace.folder,
        )
        with open_shard_queue(workspace, work, worker, is_published=lambda: store.find(artifact) is not None) as queue:
            if device == "cpu" and _num_samples(shards, partition) < _FEW_SAMPLES:
                num_processes = 0
            _train(inputs, queue, progress, num_processes=num_processes)
            if not worker.is_first or store.find(artifact):
                return
            records = sorted(queue.records(), key=lambda record: int(record["student"]))
        described = {"device": device, "versions": machine.software_versions()}
        cards = list(_cards(config, sources, store, records, objective=objective, machine=described))
        for card in cards:
            write_card(card, workspace.folder)
        manifest = store.publish(
            artifact,
            metadata={
                "inputs": {"trials": references.reference(trials), "peers": references.reference(peers)},
                "students": [_outcome(card) for card in cards],
                "chosen_by": objective.accuracy_in_words,
                "num_trials": sum(record["num_trials"] for record in records),
                "worker_seconds": sum(record["seconds"] for record in records),
                **described,
                "machine": machine.describe_processor(),
            },
        )
    print_line(NAME, summary(manifest.metadata))


def _as_judged(config: ExperimentConfig, *, is_tuned: bool) -> ExperimentConfig:
    """Return the config with which the study has trained, so that records can be compared.

    A tuned study validates after every epoch if it chooses the epoch to stop at, and only then.
    """
    if not is_tuned:
        return config
    sweep = config.sweep.model_copy(update={"validate_every_epoch": config.tune.chooses_epochs})
    return config.model_copy(update={"sweep": sweep})


def _tasks(
    config: ExperimentConfig, sources: _Sources, store: ArtifactStore, students: Sequence[int]
) -> list[StudentTask]:
    trials, sets_P = sources.trials, evaluation_sets(sources.partition.metadata)
    if is_tuned(trials):
        table = choices.read_table(store.fetch(trials.key) / tune_pairs.CHOICES_NAME, choices.CHOICES)
        with _table(trials, store) as tried:
            return tuned_tasks(config, table, tried, students, sets_P)
    with _table(trials, store) as table:
        return swept_tasks(config, table, students, sets_P)


def _num_samples(shards: Sequence[Shard], partition: Manifest) -> int:
    """Return the most samples that the candidates of all students may train on, over all epochs."""
    sizes_P: list[int] = [sum(counts_K) for counts_K in partition.metadata["class_counts"]]
    largest = 2 * max(sizes_P) + int(partition.metadata["num_public"])
    tasks: list[StudentTask] = [task for shard in shards for task in shard.tasks]
    return largest * sum(len(task.candidates) * task.num_epochs for task in tasks)


@contextmanager
def _table(trials: Manifest, store: ArtifactStore) -> Iterator[pa.Table]:
    name = tune_pairs.TRIALS_NAME if is_tuned(trials) else distill_pairs.TABLE_NAME
    with mapped_table(store.fetch(trials.key) / name) as table:
        yield table


def _train(inputs: ImproveInputs, queue: ShardQueue, progress: Progress, *, num_processes: int) -> None:
    for claimed, record in run_in_processes(
        "peerkd.training.improve:start",
        (inputs,),
        queue.tasks(),
        num_processes=min(num_processes, len(inputs.sweep.peers)),
        preload=network_modules(inputs.sweep.config.architectures),
    ):
        queue.add_record(claimed, record, weights_name(record["student"]))
        progress.advance()
        recorder.samples(record["num_samples"])


def _cards(
    config: ExperimentConfig,
    sources: _Sources,
    store: ArtifactStore,
    records: Sequence[Record],
    *,
    objective: Objective,
    machine: dict[str, Any],
) -> Iterator[ModelCard]:
    dataset = open_dataset(store.fetch(sources.dataset.key))
    with _table(sources.trials, store) as table:
        for record in records:
            yield build_card(
                config,
                record,
                objective=objective,
                is_reproduced=_is_reproduced(record, table),
                trials=sources.trials,
                peers=sources.peers,
                partition=sources.partition,
                dataset=dataset,
                machine=machine,
            )


def _is_reproduced(record: Record, trials: pa.Table) -> bool | None:
    """Return whether the chosen training has ended in the values of the study; None if there is nothing to compare."""
    trial = record["trial"]
    row = None if trial is None else find_row(trials, record_identity(trial))
    differing = None if row is None else differing_columns(trial, row)
    if differing:
        # A GPU of another kind, or other software, may round differently. The student is published with the accuracies
        # that it has, and its card says so.
        print_line(
            NAME,
            f"warning: student {record['student']} does not end in the bits that were judged: "
            f"{', '.join(differing[:3])} differ",
        )
    return None if differing is None else not differing


def _outcome(card: ModelCard) -> dict[str, Any]:
    """Return what the manifest says of a student."""
    return {
        "student": card.student,
        "decision": card.decision,
        "setting": card.setting and card.setting.in_words(),
        "is_reproduced": card.is_reproduced,
        "before": card.accuracy_before,
        "after": card.accuracy_after,
    }
