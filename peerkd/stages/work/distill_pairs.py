"""The work of one worker in a sweep. A shard is a group of units."""

from collections.abc import Sequence
from pathlib import Path

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.architectures import network_modules
from peerkd.config.experiment import ExperimentConfig
from peerkd.launch.worker import Worker
from peerkd.metrics import recorder
from peerkd.metrics.progress import Progress, gain_note, print_line
from peerkd.results.schema import IS_FINITE
from peerkd.results.spill import write_trials
from peerkd.stages import machine, pretrain_peers
from peerkd.stages.distill_pairs import FEATURES_NAME, NAME, TABLE_NAME, key, summary
from peerkd.stages.journals import Record
from peerkd.stages.peer_names import peer_names
from peerkd.stages.shard_queue import ShardQueue, StageWork, open_shard_queue
from peerkd.stages.shards import SCRATCH
from peerkd.stages.work.extending import SweepExtension
from peerkd.study.trials import record_identity, without
from peerkd.training.inputs import EngineChoice, SweepInputs
from peerkd.training.process_pool import run_in_processes


def perform(config: ExperimentConfig, peers: Manifest, store: ArtifactStore, worker: Worker) -> None:
    """Train and evaluate this worker's trials. The first worker then publishes the trials of all workers."""
    artifact = key(config, peers)
    device, num_processes = machine.choose_device(config.compute, is_in_process=worker.is_in_process)
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    finite_peers = pretrain_peers.finite_peers(peers.metadata["peers"])
    sweep_inputs = SweepInputs(
        config=config,
        dataset_folder=store.fetch(dataset.key),
        partition_folder=store.fetch(partition.key),
        peers_folder=store.fetch(peers.key),
        finite_peers=finite_peers,
        device=device,
    )
    progress = Progress(NAME, unit="trials", total=0)
    with store.open_workspace(artifact, shared=not worker.is_alone) as workspace:
        extension = SweepExtension(
            config, sweep_inputs.peers, workspace, is_first_worker=worker.is_first, on_added=progress.expect
        )
        work = StageWork(
            stage=NAME,
            shards=tuple(extension.shards),
            identity=record_identity,
            remaining=without,
            on_recovered=progress.recover,
            on_done_elsewhere=progress.follow,
            add_shards=extension.add_shards if config.sweep.extend else None,
        )
        with open_shard_queue(workspace, work, worker, is_published=lambda: store.find(artifact) is not None) as queue:
            names = peer_names(config, partition)
            _distill(sweep_inputs, queue, progress, names, num_processes=num_processes)
            if not worker.is_first or store.find(artifact):
                return
            trials = write_trials(
                queue.records(), workspace.folder / TABLE_NAME, scratch_folder=workspace.folder / SCRATCH
            )
            features = {}
            if config.sweep.validate_every_epoch:
                num_samples = _write_features(
                    sweep_inputs, workspace.folder / FEATURES_NAME, num_processes=min(num_processes, 1)
                )
                features["features_forward_samples"] = num_samples
        manifest = store.publish(
            artifact,
            metadata={
                "inputs": {"peers": references.reference(peers)},
                **config.distill.loss_record,
                "fingerprint": trials.fingerprint,
                "num_trials": trials.num_trials,
                "num_diverged": trials.num_diverged,
                "worker_seconds": trials.seconds,
                **features,
                **({"added": extension.all_added._asdict()} if config.sweep.extend else {}),
                "device": device,
                "versions": machine.software_versions(),
                "machine": machine.describe_processor(),
            },
        )
    print_line(NAME, summary(manifest.metadata))


def _write_features(inputs: SweepInputs, path: Path, *, num_processes: int) -> int:
    """Write the table of features in a new process, or in this process if ``num_processes`` is 0.

    Returns:
        The number of forward passes: the number of samples times the number of networks.
    """
    ((_, num_samples),) = run_in_processes(
        "peerkd.training.pair_features:start",
        (inputs,),
        [("features", path)],
        num_processes=num_processes,
        preload=network_modules(inputs.config.architectures),
    )
    return int(num_samples)


def _gain(record: Record) -> float | None:
    """Return the gain in validation accuracy of a distillation; None for a control, and for a trial that diverged."""
    if not record[IS_FINITE] or record["teacher"] is None or record["distillation_weight"] == 0:
        return None
    gain: float = record["validation_global_accuracy_after"] - record["validation_global_accuracy_before"]
    return gain


def _distill(
    inputs: SweepInputs, queue: ShardQueue, progress: Progress, names: Sequence[str], *, num_processes: int
) -> None:
    reported: set[str] = set()
    largest = 0.0
    for claimed, record in run_in_processes(
        "peerkd.training.sweep:start",
        (inputs,),
        queue.tasks(),
        num_processes=num_processes,
        preload=network_modules(inputs.config.architectures),
    ):
        if isinstance(record, EngineChoice):
            # Each process makes its own measurement, and the results are about the same.
            if record.kind not in reported:
                print_line(NAME, record.text)
            reported.add(record.kind)
            continue
        queue.add_record(claimed, record)
        if not record[IS_FINITE]:
            recorder.diverged()
        gain = _gain(record)
        if gain is not None and gain > largest:
            largest = gain
            progress.note(gain_note(gain, student=names[record["student"]], teacher=names[record["teacher"]]))
        progress.advance()
        recorder.samples(record["num_transfer_samples"] * record["epochs"])
