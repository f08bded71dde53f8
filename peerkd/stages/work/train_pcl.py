"""The work of one worker that trains networks by every method.

A shard is a run. If several processes train each run together, all workers train the same run. The first worker chooses
the run, announces it to the other workers through the training processes, and stores its checkpoint and its
measurements. If a worker is lost, the others wait until it is back, and all continue from the last checkpoint.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.architectures import network_modules
from peerkd.config.methods import deployed_predictor
from peerkd.config.pcl import PclConfig, Run
from peerkd.errors import WorkerDiedError
from peerkd.launch.torchrun import Rendezvous, run_processes, wait_for_host
from peerkd.launch.worker import Worker
from peerkd.metrics import recorder
from peerkd.metrics.progress import Progress, print_line
from peerkd.results import curves
from peerkd.stages import machine
from peerkd.stages.claimed_shard import ClaimedShard
from peerkd.stages.launched_stage import check_num_processes
from peerkd.stages.shard_queue import ShardQueue, StageWork, open_shard_queue
from peerkd.stages.shards import Shard
from peerkd.stages.train_pcl import CURVES_NAME, NAME, NETWORKS_FOLDER, check_any_finite, key, summary
from peerkd.stages.training_progress import TrainingProgress
from peerkd.training.inputs import RunDone, RunEpochDone, RunInputs, run_name
from peerkd.training.process_pool import run_in_processes
from peerkd.training.run_request import EVENT_PREFIX, RunRequest

_MAX_ATTEMPTS: Final = 20
"""The maximum number of successive attempts at one run that end without a finished epoch.

This process does not know whether a lost worker failed or was evicted. The launcher knows the cause, and limits the
number of failures and the number of evictions separately.
"""

_MIN_SECONDS_OF_WORK: Final = 60.0
"""The duration after which an attempt counts as having done some work."""

News = RunEpochDone | RunDone


def perform(config: PclConfig, split: Manifest, store: ArtifactStore, worker: Worker) -> None:
    """Train this worker's runs, or its part of every run. The first worker then publishes all runs."""
    artifact = key(config, split)
    num_processes = config.training.num_processes
    check_num_processes(num_processes, num_workers=0 if worker.is_in_process else worker.num_workers)
    device, num_worker_processes = machine.choose_device(
        config.compute, is_in_process=worker.is_in_process, num_processes_of_training=num_processes
    )
    dataset = references.follow(split.metadata["inputs"]["dataset"], store)
    folders = {"dataset_folder": store.fetch(dataset.key), "split_folder": store.fetch(split.key)}
    rendezvous = Rendezvous.of(worker) if num_processes > 1 else None
    if rendezvous and not worker.is_first:
        _follow(
            RunInputs(config=config, networks_folder=Path(), checkpoints_folder=Path(), device=device, **folders),
            rendezvous,
            store,
            artifact,
        )
        return
    shards = [Shard(name=run_name(run), tasks=(run,), num_records=1) for run in config.runs]
    epochs = config.training.epochs
    progress = TrainingProgress(Progress(NAME, unit="epochs", total=len(shards) * epochs), num_steps=epochs)
    work = StageWork(
        stage=NAME,
        shards=shards,
        identity=_run_of,
        on_recovered=progress.recover,
        on_done_elsewhere=progress.follow,
    )
    with store.open_workspace(artifact, shared=not worker.is_alone) as workspace:
        # If all workers train every run together, the first worker claims all runs.
        claimant = Worker(run_id=worker.run_id) if rendezvous else worker
        with open_shard_queue(
            workspace, work, claimant, is_published=lambda: store.find(artifact) is not None
        ) as queue:
            (workspace.folder / NETWORKS_FOLDER).mkdir(exist_ok=True)
            run_inputs = RunInputs(
                config=config,
                networks_folder=workspace.folder / NETWORKS_FOLDER,
                checkpoints_folder=queue.checkpoint(shards[0].name).parent,
                device=device,
                **folders,
            )
            if num_processes == 1:
                news: Iterator[tuple[ClaimedShard, News]] = run_in_processes(
                    "peerkd.training.online.runs:start",
                    (run_inputs,),
                    queue.tasks(),
                    num_processes=num_worker_processes,
                    preload=network_modules(config.architectures),
                )
            else:
                news = _lead(run_inputs, queue, rendezvous)
            _keep(run_inputs, queue, progress, news)
            if not worker.is_first or store.find(artifact):
                return
            records = sorted(queue.records(), key=lambda record: config.runs.index(_run_of(record)))
            check_any_finite(records, learning_rate=config.training.learning_rate)
        table = curves.assemble(row for record in records for row in curve_rows(record))
        curves.write_curves(table, workspace.folder / CURVES_NAME)
        manifest = store.publish(
            artifact,
            metadata={
                "inputs": {"split": references.reference(split)},
                "fingerprint": curves.fingerprint(table),
                "runs": [{name: value for name, value in record.items() if name != "history"} for record in records],
                "device": device,
                "versions": machine.software_versions(),
                "machine": machine.describe_processor(),
            },
        )
    print_line(NAME, summary(manifest.metadata))


def curve_rows(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each measurement of a run as a row of ``peerkd.results.curves``."""
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
                        "is_finite": record["is_finite"],
                    }


def _keep(
    inputs: RunInputs, queue: ShardQueue, progress: TrainingProgress, news: Iterator[tuple[ClaimedShard, News]]
) -> None:
    """Store the results of runs in the journals of the queue, and report their progress.

    Args:
        inputs: The inputs of all runs.
        queue: The queue of this worker.
        progress: The progress of the stage.
        news: The events of the runs, each with the shard of its run: the end of an epoch, or the end of the run.
    """
    num_branches = inputs.config.collaboration.num_branches
    for claimed, each in news:
        if isinstance(each, RunEpochDone):
            progress.advance(each.run, num_done=each.num_epochs, num_samples=each.num_samples, gpu_bytes=each.gpu_bytes)
            _record(each, num_branches=num_branches)
        else:
            run = _run_of(each.record)
            networks = [path for path in (inputs.network(run), inputs.ensemble(run)) if path.exists()]
            queue.add_record(claimed, each.record, *(f"{NETWORKS_FOLDER}/{path.name}" for path in networks))
            progress.end(run)
            print_line(NAME, _result(each.record, num_branches=num_branches))
            if not each.record["is_finite"]:
                recorder.diverged()


def _lead(inputs: RunInputs, queue: ShardQueue, rendezvous: Rendezvous | None) -> Iterator[tuple[ClaimedShard, News]]:
    """Train one run after another, and yield the events of each run.

    All processes of all workers take part in each run.
    """
    for task in queue.tasks():
        # This worker claims all runs, so one is always free.
        assert task is not None
        claimed, run = task
        num_failures = 0
        while True:
            try:
                for news in _run_together(RunRequest.of(inputs, run), rendezvous):
                    num_failures = 0
                    yield claimed, news
            except WorkerDiedError:
                num_failures += 1
                if rendezvous is None or num_failures == _MAX_ATTEMPTS:
                    raise
                print_line(NAME, f"a worker was lost during {run_name(run)}; the run continues when it is back")
            else:
                break


def _follow(inputs: RunInputs, rendezvous: Rendezvous, store: ArtifactStore, artifact: str) -> None:
    """Take part in each run that the first worker starts, until the artifact is published."""
    num_failures = 0
    # Only the first worker reports progress. This one reports that it waits, so that it does not count as stalled.
    recorder.waiting(True)
    while wait_for_host(rendezvous, is_over=lambda: store.find(artifact) is not None):
        began = time.monotonic()
        try:
            for _ in _run_together(RunRequest.of(inputs, None), rendezvous):
                pass
        except WorkerDiedError:
            num_failures = 1 if time.monotonic() - began >= _MIN_SECONDS_OF_WORK else num_failures + 1
            if num_failures == _MAX_ATTEMPTS:
                raise
            print_line(NAME, "another worker was lost; the run continues when it is back")
        else:
            num_failures = 0


def _run_together(order: RunRequest, rendezvous: Rendezvous | None) -> Iterator[News]:
    with tempfile.TemporaryDirectory(prefix="peerkd-") as folder:
        path = Path(folder) / "order.json"
        order.write(path)
        for kind, value in run_processes(
            "peerkd.training.online.processes",
            path,
            num_processes=order.inputs.config.training.num_processes,
            news_prefix=EVENT_PREFIX,
            rendezvous=rendezvous,
        ):
            match kind:
                case "epoch":
                    yield RunEpochDone(order.known_run, *value)
                case "done":
                    yield RunDone(value)
                case "refused":
                    raise ValueError(value)
                case "failed":
                    raise WorkerDiedError(value)


def _run_of(record: Mapping[str, Any]) -> Run:
    return Run(record["architecture"], record["method"], record["seed"])


def _record(news: RunEpochDone, *, num_branches: int) -> None:
    recorder.losses({part: value for part, value in news.measured["train"].items() if part.startswith("loss")})
    for split in ("validation", "test"):
        if split in news.measured:
            recorder.accuracy(split, _accuracy(news.measured, split, news.run.method, num_branches=num_branches))


def _accuracy(measured: Mapping[str, Any], split: str, method: Any, *, num_branches: int) -> float | None:
    value: float | None = measured[split][f"accuracy/{deployed_predictor(method, num_branches=num_branches)}"]
    return value


def _result(record: Mapping[str, Any], *, num_branches: int) -> str:
    named = f"{record['architecture']} by {record['method']}, seed {record['seed']}"
    if not record["is_finite"]:
        return f"{named}: diverged; detected after epoch {len(record['history'])}"
    accuracy = _accuracy(record["history"][-1], "test", record["method"], num_branches=num_branches)
    return f"{named}: test accuracy {accuracy:.1%}"
