"""Stage: train each peer on its own data."""

from typing import Any

from peerkd.artifacts import keys, references
from peerkd.artifacts.open import open_store
from peerkd.artifacts.store import SCRATCH_NAME, ArtifactStore, Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.launch.edge import stage_edge
from peerkd.metrics.progress import Progress, say
from peerkd.results.journal import Journal, open_journal
from peerkd.stages import machine
from peerkd.training.inputs import EpochDone, PretrainInputs
from peerkd.training.workers import run_in_workers

NAME = "pretrain_peers"


def run(*, config_json: str, store: str, partition_path: str, peers_path: str) -> None:
    """Publish the weights of every peer.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        partition_path: File with the reference to the partition.
        peers_path: File that takes the reference to the peers.
    """
    with stage_edge(NAME):
        opened = open_store(store)
        partition = references.follow_file(partition_path, opened)
        manifest = pretrain(ExperimentConfig.from_json(config_json), partition, opened)
        references.write(peers_path, manifest)


def pretrain(config: ExperimentConfig, partition: Manifest, store: ArtifactStore) -> Manifest:
    """Publish the pre-trained peers of an experiment, unless they are there; go on where a killed run stopped."""
    key = keys.key(
        NAME,
        {
            "partition": partition.fingerprint,
            "peers": config.peers.model_dump(mode="json"),
            "pretrain": config.pretrain.model_dump(
                mode="json", exclude={"collaboration"} if config.pretrain.method == "cross_entropy" else None
            ),
            "augmentation": config.augmentation.model_dump(mode="json"),
            "seed": config.seed,
        },
    )
    done = store.find(key)
    if done:
        say(NAME, f"already done: {_summary(done.metadata['peers'])}")
        return done
    device, num_workers = machine.choose_device(config.compute)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    with store.open_workspace(key) as workspace:
        inputs = PretrainInputs(
            config=config,
            dataset_folder=store.fetch(dataset.key),
            partition_folder=store.fetch(partition.key),
            weights_folder=workspace,
            checkpoints_folder=workspace / SCRATCH_NAME,
            device=device,
        )
        with open_journal(workspace / SCRATCH_NAME / "peers.jsonl") as journal:
            _train_missing(inputs, journal, num_workers=num_workers)
            records = sorted(journal.records, key=lambda record: int(record["peer"]))
        manifest = store.publish(
            key, metadata={"inputs": {"partition": references.reference(partition)}, "peers": records}
        )
    say(NAME, _summary(records))
    return manifest


def _train_missing(inputs: PretrainInputs, journal: Journal, *, num_workers: int) -> None:
    num_peers, epochs = inputs.config.partition.num_peers, inputs.config.pretrain.epochs
    finished = {record["peer"] for record in journal.records}
    progress = Progress(NAME, unit="epochs", total=num_peers * epochs, num_done=len(finished) * epochs)
    missing = [peer for peer in range(num_peers) if peer not in finished]
    num_epochs = dict.fromkeys(missing, 0)
    for news in run_in_workers("peerkd.training.peers:start", (inputs,), missing, num_workers=num_workers):
        if isinstance(news, EpochDone):
            # A training that goes on from a checkpoint starts with all the epochs it had done.
            progress.recover(news.num_epochs - num_epochs[news.peer] - 1)
            progress.advance()
            num_epochs[news.peer] = news.num_epochs
        else:
            journal.append(news)


def _summary(records: list[dict[str, Any]]) -> str:
    accuracies = [record["test_global_accuracy"] for record in records]
    return f"{len(records)} peers, test accuracy {min(accuracies):.1%} to {max(accuracies):.1%}"
