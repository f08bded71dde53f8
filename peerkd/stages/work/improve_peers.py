"""The work of one worker that publishes better peers. A shard is a student."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

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
from peerkd.stages import machine, tune_pairs
from peerkd.stages.division import evaluation_sets
from peerkd.stages.improve_peers import NAME, key, summary
from peerkd.stages.journals import Record
from peerkd.stages.peer_names import peer_names
from peerkd.stages.shard_queue import ShardQueue, StageWork, open_shard_queue
from peerkd.stages.shards import SCRATCH, Shard
from peerkd.stages.work.improving.candidates import swept_tasks, tuned_tasks
from peerkd.stages.work.improving.cards import build_card, weights_name, write_card
from peerkd.stages.work.improving.judged import JudgedStudy, is_reproduced, judged_study
from peerkd.training.inputs import ImproveInputs, StudentTask, student_name
from peerkd.training.process_pool import run_in_processes

_STATES: Final = f"{SCRATCH}states"

_FEW_SAMPLES: Final = 500_000
"""If there are at most this many training samples, the calling process trains the students itself, because a new
process takes seconds to start."""


def perform(config: ExperimentConfig, trials: Manifest, store: ArtifactStore, worker: Worker) -> None:
    """Train this worker's students. The first worker then publishes the students of all workers with model cards."""
    artifact = key(config, trials)
    study = judged_study(config, trials, store)
    device, num_processes = machine.choose_device(config.compute, is_in_process=worker.is_in_process)
    shards = [Shard(name=student_name(task.student), tasks=(task,), num_records=1) for task in _tasks(study, store)]
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
            sweep=study.sweep_inputs(store, device=device, states_folder=workspace.folder / _STATES),
            objective=study.objective,
            weights_folder=workspace.folder,
        )
        with open_shard_queue(workspace, work, worker, is_published=lambda: store.find(artifact) is not None) as queue:
            if device == "cpu" and _num_samples(shards, study.partition) < _FEW_SAMPLES:
                num_processes = 0
            _train(inputs, queue, progress, num_processes=num_processes)
            if not worker.is_first or store.find(artifact):
                return
            records = sorted(queue.records(), key=lambda record: int(record["student"]))
        described = {"device": device, "versions": machine.software_versions()}
        cards = list(_cards(study, store, records, machine=described))
        for card in cards:
            write_card(card, workspace.folder)
        manifest = store.publish(
            artifact,
            metadata={
                "inputs": {
                    "trials": references.reference_to_values(trials),
                    "peers": references.reference(study.peers),
                },
                # Whoever has only the store can find the study of a network, and train another of its trials.
                "config": config.model_dump(mode="json"),
                "students": [_outcome(card) for card in cards],
                "chosen_by": study.objective.accuracy_in_words,
                "num_trials": sum(record["num_trials"] for record in records),
                "worker_seconds": sum(record["seconds"] for record in records),
                **described,
                "machine": machine.describe_processor(),
            },
        )
    print_line(NAME, summary(manifest.metadata))


def _tasks(study: JudgedStudy, store: ArtifactStore) -> list[StudentTask]:
    sets_P = evaluation_sets(study.partition.metadata)
    with study.open_table(store) as trials:
        if not study.is_tuned:
            return swept_tasks(study.config, trials, study.students, sets_P)
        table = choices.read_table(store.fetch(study.trials.key) / tune_pairs.CHOICES_NAME, choices.CHOICES)
        return tuned_tasks(study.config, table, trials, study.students, sets_P)


def _num_samples(shards: Sequence[Shard], partition: Manifest) -> int:
    """Return an upper bound on the number of samples on which all students are trained, summed over epochs."""
    sizes_P: list[int] = [sum(counts_K) for counts_K in partition.metadata["class_counts"]]
    largest = 2 * max(sizes_P) + int(partition.metadata["num_public"])
    tasks: list[StudentTask] = [task for shard in shards for task in shard.tasks]
    return largest * sum(len(task.candidates) * task.num_epochs for task in tasks)


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
    study: JudgedStudy, store: ArtifactStore, records: Sequence[Record], *, machine: dict[str, Any]
) -> Iterator[ModelCard]:
    dataset = open_dataset(store.fetch(study.dataset.key))
    names = peer_names(study.config, study.partition)
    with study.open_table(store) as table:
        for record in records:
            yield build_card(
                study,
                record,
                is_reproduced=is_reproduced(record, table, name=names[record["student"]], stage=NAME),
                dataset=dataset,
                machine=machine,
                chosen_by=study.objective.accuracy_in_words,
            )


def _outcome(card: ModelCard) -> dict[str, Any]:
    """Return the entry of a student in the manifest, given the student's model card."""
    return {
        "student": card.student,
        "decision": card.decision,
        "teacher": card.setting and card.setting.teacher,
        "setting": card.setting and card.setting.in_words(),
        "is_reproduced": card.is_reproduced,
        "before": card.accuracy_before,
        "after": card.accuracy_after,
    }
