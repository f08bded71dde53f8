"""The work of one worker that lets peers train in rounds. A shard is a method, with all of its rounds."""

from collections.abc import Iterator, Mapping
from typing import Any

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.architectures import network_modules
from peerkd.config.collaborate import CollaborateConfig
from peerkd.data.streamed import open_dataset
from peerkd.launch.worker import Worker
from peerkd.metrics import recorder
from peerkd.metrics.progress import Progress, print_line
from peerkd.results import rounds
from peerkd.rounds import ROUND_METHODS
from peerkd.stages import machine, pretrain_peers
from peerkd.stages.collaborate_peers import NAME, TABLE_NAME, key, summary
from peerkd.stages.journals import Record
from peerkd.stages.shard_queue import ShardQueue, StageWork, open_shard_queue
from peerkd.stages.shards import Shard
from peerkd.stages.training_progress import TrainingProgress
from peerkd.stages.work.improving.cards import write_card
from peerkd.stages.work.round_cards import round_cards
from peerkd.training.inputs import RoundDone, RoundsInputs
from peerkd.training.process_pool import run_in_processes


def perform(config: CollaborateConfig, peers: Manifest, store: ArtifactStore, worker: Worker) -> None:
    """Do the rounds of this worker's methods. The first worker then publishes the rounds of all methods."""
    artifact = key(config, peers)
    device, num_processes = machine.choose_device(config.compute, is_in_process=worker.is_in_process)
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    num_rounds = config.rounds.num_rounds
    shards = [Shard(name=method, tasks=(method,), num_records=1) for method in config.rounds.methods]
    progress = TrainingProgress(Progress(NAME, unit="rounds", total=len(shards) * num_rounds), num_steps=num_rounds)
    work = StageWork(
        stage=NAME,
        shards=shards,
        identity=lambda record: record["method"],
        on_recovered=progress.recover,
        on_done_elsewhere=progress.follow,
    )
    with store.open_workspace(artifact, shared=not worker.is_alone) as workspace:
        with open_shard_queue(workspace, work, worker, is_published=lambda: store.find(artifact) is not None) as queue:
            inputs = RoundsInputs(
                config=config,
                dataset_folder=store.fetch(dataset.key),
                partition_folder=store.fetch(partition.key),
                peers_folder=store.fetch(peers.key),
                finite_peers=pretrain_peers.finite_peers(peers.metadata["peers"]),
                networks_folder=workspace.folder,
                checkpoints_folder=queue.checkpoint(shards[0].name).parent,
                device=device,
            )
            _collaborate(inputs, queue, progress, num_processes=min(num_processes, len(shards)))
            if not worker.is_first or store.find(artifact):
                return
            records = {record["method"]: record for record in queue.records()}
        table = rounds.assemble(_rows(records), methods=config.rounds.methods)
        rounds.write_rounds(table, workspace.folder / TABLE_NAME)
        described = {"device": device, "versions": machine.software_versions()}
        for card in round_cards(
            config,
            records[config.rounds.methods[0]]["history"],
            key=artifact,
            fingerprint=rounds.fingerprint(table),
            peers=peers,
            partition=partition,
            dataset=open_dataset(inputs.dataset_folder),
            machine=described,
        ):
            write_card(card, workspace.folder)
        manifest = store.publish(
            artifact,
            metadata={
                "inputs": {"peers": references.reference(peers)},
                # Whoever has only the store can find the experiment of a network.
                "config": config.model_dump(mode="json"),
                "fingerprint": rounds.fingerprint(table),
                "num_rounds": num_rounds,
                "reached": {method: _reached(records[method], num_rounds) for method in config.rounds.methods},
                **described,
                "machine": machine.describe_processor(),
            },
        )
    print_line(NAME, summary(manifest.metadata))


def _collaborate(inputs: RoundsInputs, queue: ShardQueue, progress: TrainingProgress, *, num_processes: int) -> None:
    for claimed, news in run_in_processes(
        "peerkd.training.rounds.run:start",
        (inputs,),
        queue.tasks(),
        num_processes=num_processes,
        preload=network_modules(inputs.config.architectures),
    ):
        if isinstance(news, RoundDone):
            progress.advance(
                news.method, num_done=news.num_rounds, num_samples=news.num_samples, gpu_bytes=news.gpu_bytes
            )
            recorder.accuracy("validation", news.accuracy, method=news.method)
            continue
        method = news.record["method"]
        progress.end(method)
        is_published = method == inputs.config.rounds.methods[0]
        networks = [inputs.network(peer).name for peer in inputs.finite_peers] if is_published else []
        queue.add_record(claimed, news.record, *networks)
        reached = _reached(news.record, inputs.config.rounds.num_rounds)
        print_line(NAME, f"{ROUND_METHODS[method].title}: mean test accuracy {reached:.1%}")


def _rows(records: Mapping[str, Record]) -> Iterator[dict[str, Any]]:
    for method, record in records.items():
        for row in record["history"]:
            yield {"method": method, **row}


def _reached(record: Record, num_rounds: int) -> float:
    """Return the mean global test accuracy of all peers after the last round."""
    last: list[float] = [row["test_global_accuracy"] for row in record["history"] if row["round"] == num_rounds]
    return sum(last) / len(last)
