"""The work of one worker that lets peers train in rounds.

A shard is a method, with all of its rounds, unless ``compute.num_round_parts`` divides the peers of each round.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.collaborate import CollaborateConfig
from peerkd.data.streamed import open_dataset
from peerkd.launch.worker import Worker
from peerkd.metrics.progress import print_line
from peerkd.results import rounds
from peerkd.stages import machine, pretrain_peers
from peerkd.stages.checkpoints import live_checkpoint
from peerkd.stages.collaborate_peers import NAME, TABLE_NAME, key, summary
from peerkd.stages.journals import Record
from peerkd.stages.shard_queue import open_shard_queue
from peerkd.stages.work.collaborating.histories import mean_accuracy
from peerkd.stages.work.collaborating.in_parts import RoundsInParts
from peerkd.stages.work.collaborating.whole import WholeRounds
from peerkd.stages.work.improving.cards import write_card
from peerkd.stages.work.round_cards import round_cards
from peerkd.training.inputs import RoundsInputs


def perform(config: CollaborateConfig, peers: Manifest, store: ArtifactStore, worker: Worker) -> None:
    """Do the rounds of this worker's methods. The first worker then publishes the rounds of all methods."""
    artifact = key(config, peers)
    device, num_processes = machine.choose_device(config.compute, is_in_process=worker.is_in_process)
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    num_rounds = config.rounds.num_rounds
    with store.open_workspace(artifact, shared=not worker.is_alone) as workspace:
        inputs = RoundsInputs(
            config=config,
            dataset_folder=store.fetch(dataset.key),
            partition_folder=store.fetch(partition.key),
            peers_folder=store.fetch(peers.key),
            finite_peers=pretrain_peers.finite_peers(peers.metadata["peers"]),
            networks_folder=workspace.folder,
            checkpoints_folder=live_checkpoint(workspace, "").parent,
            device=device,
        )
        work = RoundsInParts(inputs, workspace, worker) if config.compute.num_round_parts > 1 else WholeRounds(inputs)
        with open_shard_queue(
            workspace, work.stage_work, worker, is_published=lambda: store.find(artifact) is not None
        ) as queue:
            work.collaborate(queue, num_processes=num_processes)
            if not worker.is_first or store.find(artifact):
                return
            records = work.records(queue)
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
                "reached": {
                    method: mean_accuracy(records[method]["history"], num_rounds) for method in config.rounds.methods
                },
                **described,
                "machine": machine.describe_processor(),
            },
        )
    print_line(NAME, summary(manifest.metadata))


def _rows(records: Mapping[str, Record]) -> Iterator[dict[str, Any]]:
    for method, record in records.items():
        for row in record["history"]:
            yield {"method": method, **row}
