"""Stage: train every architecture by every method from every seed, PCL and its rivals alike."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from peerkd.artifacts import keys, references
from peerkd.artifacts.open import open_store
from peerkd.artifacts.store import SCRATCH_NAME, ArtifactStore, Manifest
from peerkd.config.methods import deployed_predictor
from peerkd.config.pcl import PclConfig, Run
from peerkd.errors import WorkerDiedError
from peerkd.launch.edge import stage_edge
from peerkd.launch.torchrun import run_processes
from peerkd.metrics.progress import Progress, say
from peerkd.results import curves
from peerkd.results.journal import Journal, open_journal
from peerkd.stages import machine
from peerkd.training.inputs import RunDone, RunEpochDone, RunInputs
from peerkd.training.orders import NEWS_PREFIX, RunOrder
from peerkd.training.workers import run_in_workers

NAME: Final = "train_pcl"
CURVES_NAME: Final = "curves.parquet"
NETWORKS_FOLDER: Final = "networks"


def run(*, config_json: str, store: str, split_path: str, runs_path: str) -> None:
    """Publish what every run measured, and the networks that it trained.

    Args:
        config_json: The whole study as JSON.
        store: Address of the artifact store.
        split_path: File with the reference to the split.
        runs_path: File that takes the reference to the runs.
    """
    with stage_edge(NAME):
        opened = open_store(store)
        split = references.follow_file(split_path, opened)
        references.write(runs_path, train(PclConfig.from_json(config_json), split, opened))


def train(config: PclConfig, split: Manifest, store: ArtifactStore) -> Manifest:
    """Publish the runs of a study, unless they are there; go on where a killed run stopped."""
    key = keys.key(
        NAME,
        {
            "split": split.fingerprint,
            **config.model_dump(
                mode="json", include={"augmentation", "architectures", "methods", "collaboration", "training"}
            ),
            "seeds": [config.seed, config.num_seeds],
            "evaluate_every_epochs": config.evaluation.every_epochs,
        },
    )
    done = store.find(key)
    if done:
        say(NAME, f"already done: {_summary(done.metadata)}")
        return done
    device, num_workers = machine.choose_device(config.compute)
    dataset = references.follow(split.metadata["inputs"]["dataset"], store)
    with store.open_workspace(key) as workspace:
        (workspace / NETWORKS_FOLDER).mkdir(exist_ok=True)
        inputs = RunInputs(
            config=config,
            dataset_folder=store.fetch(dataset.key),
            split_folder=store.fetch(split.key),
            networks_folder=workspace / NETWORKS_FOLDER,
            checkpoints_folder=workspace / SCRATCH_NAME,
            device=device,
        )
        with open_journal(workspace / SCRATCH_NAME / "runs.jsonl") as journal:
            _train_missing(inputs, journal, num_workers=num_workers)
            records = sorted(journal.records, key=lambda record: config.runs.index(_run_of(record)))
        table = curves.assemble(row for record in records for row in curve_rows(record))
        curves.write_curves(table, workspace / CURVES_NAME)
        metadata = {
            "inputs": {"split": references.reference(split)},
            "fingerprint": curves.fingerprint(table),
            "runs": [{name: value for name, value in record.items() if name != "history"} for record in records],
            "device": device,
            "versions": machine.software_versions(),
            "machine": machine.describe_processor(),
        }
        manifest = store.publish(key, metadata=metadata)
    say(NAME, _summary(metadata))
    return manifest


def curve_rows(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a run's measurements one by one, as the rows of ``peerkd.results.curves``."""
    for measured in record["history"]:
        for split, quantities in measured.items():
            if split != "epoch":
                for quantity, value in quantities.items():
                    yield {
                        **_run_of(record)._asdict(),
                        "epoch": measured["epoch"],
                        "split": split,
                        "quantity": quantity,
                        "value": value,
                    }


def _train_missing(inputs: RunInputs, journal: Journal, *, num_workers: int) -> None:
    config = inputs.config
    finished = {_run_of(record) for record in journal.records}
    missing = [each for each in config.runs if each not in finished]
    epochs = config.training.epochs
    progress = Progress(NAME, unit="epochs", total=len(config.runs) * epochs, num_done=len(finished) * epochs)
    num_epochs = dict.fromkeys(missing, 0)
    for news in _do(inputs, missing, num_workers=num_workers):
        if isinstance(news, RunEpochDone):
            # A training that goes on from a checkpoint starts with all the epochs it had done.
            progress.recover(news.num_epochs - num_epochs[news.run] - 1)
            progress.advance()
            num_epochs[news.run] = news.num_epochs
        else:
            journal.append(news.record)
            say(NAME, _result(news.record, num_branches=config.collaboration.num_branches))
            inputs.checkpoint(_run_of(news.record)).unlink(missing_ok=True)


def _do(inputs: RunInputs, runs: Sequence[Run], *, num_workers: int) -> Iterator[RunEpochDone | RunDone]:
    """Do runs side by side, or one after another if several processes share each."""
    num_processes = inputs.config.training.num_processes
    if num_processes == 1:
        yield from run_in_workers("peerkd.training.online.runs:start", (inputs,), runs, num_workers=num_workers)
        return
    for each in runs:
        order = inputs.checkpoints_folder / "order.json"
        RunOrder.of(inputs, each).write(order)
        for kind, value in run_processes(
            "peerkd.training.online.processes", order, num_processes=num_processes, news_prefix=NEWS_PREFIX
        ):
            match kind:
                case "epoch":
                    yield RunEpochDone(each, value)
                case "done":
                    yield RunDone(value)
                case "refused":
                    raise ValueError(value)
                case "failed":
                    raise WorkerDiedError(value)


def _run_of(record: Mapping[str, Any]) -> Run:
    return Run(record["architecture"], record["method"], record["seed"])


def _result(record: Mapping[str, Any], *, num_branches: int) -> str:
    predictor = deployed_predictor(record["method"], num_branches=num_branches)
    accuracy = record["history"][-1]["test"][f"accuracy/{predictor}"]
    return f"{record['architecture']} by {record['method']}, seed {record['seed']}: test accuracy {accuracy:.1%}"


def _summary(metadata: Mapping[str, Any]) -> str:
    return f"{len(metadata['runs']):,} runs, fingerprint {metadata['fingerprint'][:16]}"
