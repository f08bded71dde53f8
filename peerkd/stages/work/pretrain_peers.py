"""The work of one worker that pre-trains peers. A shard is a peer."""

import json
from collections.abc import Sequence

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.architectures import network_modules
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.streamed import open_dataset
from peerkd.launch.worker import Worker
from peerkd.metrics import recorder
from peerkd.metrics.progress import Progress, print_line
from peerkd.stages import given_check, given_peers, machine
from peerkd.stages.peer_names import peer_names
from peerkd.stages.pretrain_peers import NAME, accuracy_lines, check_enough_finite, key, summary
from peerkd.stages.shard_queue import ShardQueue, StageWork, open_shard_queue
from peerkd.stages.shards import Shard
from peerkd.stages.training_progress import TrainingProgress
from peerkd.training.inputs import EpochDone, PretrainInputs, peer_name
from peerkd.training.process_pool import run_in_processes
from peerkd.wording import called


def perform(config: PeerExperimentConfig, partition: Manifest, store: ArtifactStore, worker: Worker) -> None:
    """Train this worker's peers, or import their weights. The first worker then publishes the peers of all workers.

    Raises:
        ValueError: If a given network or its weights are not usable, or fewer than two peers have not diverged.
    """
    artifact = key(config, partition)
    device, num_processes = machine.choose_device(config.compute, is_in_process=worker.is_in_process)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    weights = given_peers.fetch_weights(partition, store) or (None,) * len(config.networks)
    if config.peers.given:
        described = open_dataset(store.fetch(dataset.key))
        given_check.check_given_peers(
            config,
            weights,
            image_shape_CHW=described.image_shape,
            class_names=described.class_names,
            stage=NAME,
            remarks=described.remarks,
            num_processes=min(num_processes, 1),
        )
    # An imported peer counts as one epoch if all are imported, and otherwise as if it had been trained before.
    epochs = config.pretrain.epochs if config.num_trained_peers else 1
    shards = [Shard(name=peer_name(peer), tasks=(peer,), num_records=1) for peer in range(config.partition.num_peers)]
    unit = "epochs" if config.num_trained_peers else "peers"
    progress = TrainingProgress(Progress(NAME, unit=unit, total=len(shards) * epochs), num_steps=epochs)
    work = StageWork(
        stage=NAME,
        shards=shards,
        identity=lambda record: record["peer"],
        on_recovered=progress.recover,
        on_done_elsewhere=progress.follow,
    )
    with store.open_workspace(artifact, shared=not worker.is_alone) as workspace:
        with open_shard_queue(workspace, work, worker, is_published=lambda: store.find(artifact) is not None) as queue:
            pretrain_inputs = PretrainInputs(
                config=config,
                dataset_folder=store.fetch(dataset.key),
                partition_folder=store.fetch(partition.key),
                weights_folder=workspace.folder,
                checkpoints_folder=queue.checkpoint(shards[0].name).parent,
                device=device,
                given_weights=weights,
            )
            names = peer_names(config, partition)
            _train(pretrain_inputs, queue, progress, names, num_processes=num_processes)
            if not worker.is_first or store.find(artifact):
                return
            records = sorted(queue.records(), key=lambda record: int(record["peer"]))
            check_enough_finite(records, learning_rate=config.pretrain.learning_rate)
            if given_peers.has_given_networks(config):
                # The artifact says which networks its weights belong to, and its fingerprint depends on them.
                described_networks = json.dumps(given_peers.described_networks(config), indent=2, sort_keys=True)
                (workspace.folder / given_peers.NETWORKS_NAME).write_text(described_networks, encoding="utf-8")
        manifest = store.publish(
            artifact, metadata={"inputs": {"partition": references.reference(partition)}, "peers": records}
        )
    print_line(NAME, summary(manifest.metadata))
    if config.peers.given:
        for line in accuracy_lines(records, names):
            print_line(NAME, line)


def _train(
    inputs: PretrainInputs,
    queue: ShardQueue,
    progress: TrainingProgress,
    names: Sequence[str],
    *,
    num_processes: int,
) -> None:
    for claimed, news in run_in_processes(
        "peerkd.training.peers:start",
        (inputs,),
        queue.tasks(),
        num_processes=num_processes,
        preload=network_modules(inputs.config.architectures),
    ):
        if isinstance(news, EpochDone):
            progress.advance(
                news.peer, num_done=news.num_epochs, num_samples=news.num_samples, gpu_bytes=news.gpu_bytes
            )
            continue
        peer = news["peer"]
        queue.add_record(claimed, news, *([inputs.weights(peer).name] if news["is_finite"] else []))
        if not inputs.config.num_trained_peers:
            progress.advance(peer, num_done=1)
        num_epochs = progress.end(peer)
        if not news["is_finite"]:
            num_planned = inputs.config.pretrain.epochs
            print_line(NAME, f"{called(names[peer])} diverged; detected after epoch {num_epochs} of {num_planned}")
            recorder.diverged()
