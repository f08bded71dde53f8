"""Stage: every ordered pair distils under every setting of the sweep."""

from collections.abc import Mapping
from typing import Any

from peerkd.artifacts import keys, references
from peerkd.artifacts.open import open_store
from peerkd.artifacts.store import SCRATCH_NAME, ArtifactStore, Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.launch.edge import stage_edge
from peerkd.metrics.progress import Progress, say
from peerkd.results import table
from peerkd.results.journal import Journal, open_journal
from peerkd.stages import machine
from peerkd.training.inputs import SweepInputs
from peerkd.training.plan import plan, record_identity, without
from peerkd.training.workers import run_in_workers

NAME = "distill_pairs"
TABLE_NAME = "trials.parquet"


def run(*, config_json: str, store: str, peers_path: str, trials_path: str) -> None:
    """Publish the table of trials.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        peers_path: File with the reference to the pre-trained peers.
        trials_path: File that takes the reference to the table.
    """
    with stage_edge(NAME):
        opened = open_store(store)
        peers = references.follow_file(peers_path, opened)
        references.write(trials_path, distill(ExperimentConfig.from_json(config_json), peers, opened))


def distill(config: ExperimentConfig, peers: Manifest, store: ArtifactStore) -> Manifest:
    """Publish the trials of an experiment, unless they are there; go on where a killed run stopped."""
    key = keys.key(
        NAME,
        {
            "peers": peers.fingerprint,
            "distill": config.distill.model_dump(mode="json"),
            "sweep": config.sweep.model_dump(mode="json", include={"temperatures", "alphas", "transfer_sets"}),
            "augmentation": config.augmentation.model_dump(mode="json"),
            "seed": config.seed,
        },
    )
    done = store.find(key)
    if done:
        say(NAME, f"already done: {_summary(done.metadata)}")
        return done
    device, num_workers = machine.choose_device(config.compute)
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    inputs = SweepInputs(
        config=config,
        dataset_folder=store.fetch(dataset.key),
        partition_folder=store.fetch(partition.key),
        peers_folder=store.fetch(peers.key),
        device=device,
    )
    with store.open_workspace(key) as workspace:
        with open_journal(workspace / SCRATCH_NAME / "trials.jsonl") as journal:
            _do_missing(inputs, journal, num_workers=num_workers)
            trials = table.assemble(journal.records)
        table.write_table(trials, workspace / TABLE_NAME)
        metadata = {
            "inputs": {"peers": references.reference(peers)},
            "fingerprint": table.fingerprint(trials),
            "num_trials": trials.num_rows,
            "worker_seconds": sum(trials["seconds"].to_pylist()),
            "device": device,
            "versions": machine.software_versions(),
            "machine": machine.describe_processor(),
        }
        manifest = store.publish(key, metadata=metadata)
    say(NAME, _summary(metadata))
    return manifest


def _do_missing(inputs: SweepInputs, journal: Journal, *, num_workers: int) -> None:
    units = plan(inputs.config)
    finished = {record_identity(record) for record in journal.records}
    progress = Progress(
        NAME, unit="trials", total=sum(len(unit.trials) for unit in units), num_done=len(journal.records)
    )
    for record in run_in_workers(
        "peerkd.training.sweep:start", (inputs,), without(units, finished), num_workers=num_workers
    ):
        journal.append(record)
        progress.advance()


def _summary(metadata: Mapping[str, Any]) -> str:
    return f"{metadata['num_trials']:,} trials, fingerprint {metadata['fingerprint'][:16]}"
