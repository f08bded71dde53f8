"""``peerkd run``: a pipeline whose tasks run on this machine, with the jobs on this machine or on a cluster."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import typer

from peerkd.artifacts.cleaning import in_use
from peerkd.artifacts.filesystem import check_writable
from peerkd.artifacts.open import S3_SCHEME, check_address, check_folder, open_store
from peerkd.artifacts.store import ArtifactStore
from peerkd.cli.exit_codes import ending_on_sigterm
from peerkd.cli.live import showing
from peerkd.cli.live_index import LiveIndex
from peerkd.cli.options import Experiment, Jobs, Verbosity
from peerkd.cli.resuming import resuming_command
from peerkd.cli.wrapping import say
from peerkd.config.cluster import resolve_cluster
from peerkd.config.launch import LaunchConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.pipelines import Pipeline
from peerkd.config.resolve import Config
from peerkd.config.tuning import check_strategy
from peerkd.launch.invocations.files import LATEST, invoking, list_invocations
from peerkd.launch.local_pipeline import compiled_pipeline, run_pipeline
from peerkd.launch.shared_folder import check_workers_folder
from peerkd.stages.artifact_graph import find_input
from peerkd.stages.peer_names import peer_names
from peerkd.stages.run_record import find_route
from peerkd.stages.tracking import check_tracking
from peerkd.suggestions import check_choice

_PUBLISHING = frozenset({"improve_peers", "collaborate_peers"})
"""The stages that publish a network for each peer."""

LOCAL, KUBERNETES = "local", "kubernetes"

_MAX_LOCAL_WORKERS = 64
"""The maximum number of workers on a machine with at most this number of cores. A machine with more cores may have one
worker for each core.

Each worker is a process that uses a few hundred megabytes."""


def run(
    pipeline: Pipeline[Config],
    experiment: Experiment,
    jobs: Jobs,
    verbosity: Verbosity,
    *,
    backend: str,
    output: Path,
    strategy: str | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> None:
    """Check everything that can be checked beforehand, run the pipeline, and show its summary.

    Args:
        pipeline: The pipeline to run.
        experiment: The options that describe the experiment.
        jobs: The options that describe the jobs.
        verbosity: How much of the progress is shown on stderr. The summary is printed on stdout.
        backend: Where the jobs run: ``local`` or ``kubernetes``.
        output: The folder of the store. If ``--store`` names another store, only the report is copied to this folder.
        strategy: How settings are chosen; None for a pipeline without that choice.
        dry_run: Print the jobs instead of running them.
        as_json: Print the summary as JSON instead of text.

    Raises:
        ValueError: If the config breaks a rule, the output folder cannot be written, or a stage refuses its input.
        StageFailedError: If a stage fails.
    """
    verbosity.check()
    if strategy is not None:
        check_strategy(strategy, experiment.override or [])
    config = experiment.load(pipeline)
    launch = describe_launch(jobs, backend)
    settings = resolve_cluster(launch)
    check_folder("output", output)
    store = _store_address(jobs, backend, output)
    if backend == KUBERNETES:
        check_workers_folder(store, settings)
    if dry_run and backend != KUBERNETES:
        raise ValueError(
            f"backend must be {KUBERNETES} with --dry-run, which prints the jobs of a cluster, got {backend}."
        )
    if dry_run:
        from peerkd.cli.dry_run import show_jobs
        from peerkd.launch.kubernetes.kinds import JOB_KINDS
        from peerkd.launch.kubernetes.kinds.choice import find_kind

        # A dry run asks no cluster which kinds it has.
        kind = find_kind(settings.job_kind) or JOB_KINDS[0]
        show_jobs(pipeline.name, config, settings, kind=kind, store=store, strategy=strategy)
        return
    check_writable(output)
    is_folder = not store.startswith(S3_SCHEME)
    route = find_route(pipeline.name, strategy)
    assert isinstance(config, PeerExperimentConfig | PclConfig)
    # This sends no request, and raises an error if the environment lacks a setting of a remote store.
    opened = open_store(store)
    check_tracking(config, opened)
    index = LiveIndex(store) if is_folder else None
    with (
        ending_on_sigterm(),
        index.completing() if index else nullcontext(),
        _telling_how_to_continue(output, store, pipeline=pipeline.name, strategy=strategy),
        invoking(output, pipeline=route.title, experiment=config.name, stages=route.stages, store=store) as invocation,
        in_use(Path(store)) if is_folder else nullcontext(),
        showing(
            invocation,
            verbose=verbosity.verbose,
            quiet=verbosity.quiet,
            can_draw=not launch.is_in_process,
            on_line=index.follow if index else None,
        ),
    ):
        if launch.is_in_process:
            from peerkd.stages.in_process import run_in_process

            key = run_in_process(config, store, strategy=strategy)
        else:
            arguments = {"config_json": config.to_json(), "store": store, **launch.to_parameters()}
            if strategy is not None:
                arguments["strategy"] = strategy
            key = run_pipeline(compiled_pipeline(pipeline.name), arguments)
    folder = opened.fetch(key)
    if jobs.store is not None:
        # The report is copied to the folder where it would be after a run with a local store.
        shutil.copytree(folder, output / key, dirs_exist_ok=True)
        folder = output.absolute() / key
    if as_json:
        typer.echo(json.dumps(_facts(key, folder), indent=2))
        return
    say((folder / "summary.txt").read_text(encoding="utf-8"))
    say(f"\nReport: {folder / 'report.html'}")
    if set(route.stages).intersection(_PUBLISHING):
        place = ["--store", store] if not is_folder else [] if output == Path("runs") else ["--output", str(output)]
        assert isinstance(config, PeerExperimentConfig)
        name = _first_peer(config, key, opened)
        file = f"{name if re.fullmatch(r'[A-Za-z][A-Za-z0-9_-]*', name) else 'student-0'}.pt2"
        command = ["peerkd", "export", LATEST, *place, "--student", name, "--to", file]
        say(f"A network for other programs: {shlex.join(command)}")


@contextmanager
def _telling_how_to_continue(output: Path, store: str, *, pipeline: str, strategy: str | None) -> Iterator[None]:
    """Print the command that continues the run if Ctrl-C interrupts the ``with`` block."""
    try:
        yield
    except KeyboardInterrupt:
        last = next(iter(list_invocations(output)), None)
        command = ""
        if last is not None and last.run_key is not None:
            command = resuming_command(last.run_key, pipeline=pipeline, strategy=strategy, address=store)
        if command:
            typer.echo(f"peerkd: this command continues the run:\n    {command}", err=True)
        raise


def _first_peer(config: PeerExperimentConfig, key: str, store: ArtifactStore) -> str:
    """Return the name of the first peer of the run with the report ``key``, or its number if it has no name."""
    report = store.find(key)
    partition = find_input(report, "partition_data", store) if report else None
    return peer_names(config, partition)[0] if partition else "0"


def _facts(key: str, folder: Path) -> dict[str, Any]:
    """Return the key of the report in ``folder``, its headline numbers, its summary and the paths of its files."""
    values = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {
        "report": key,
        "metrics": {name: value for name, value in values.items() if not isinstance(value, dict)},
        "summary": (folder / "summary.txt").read_text(encoding="utf-8"),
        "files": {path.name: str(path) for path in sorted(folder.iterdir()) if path.name != "manifest.json"},
    }


def describe_launch(jobs: Jobs, backend: str) -> LaunchConfig:
    """Return the launch description of a run from this machine.

    Raises:
        ValueError: If the backend does not exist, or an option breaks a rule.
    """
    check_choice("backend", backend, (LOCAL, KUBERNETES))
    most = max(_MAX_LOCAL_WORKERS, os.cpu_count() or 1)
    if backend == LOCAL and (jobs.workers or 0) > most:
        raise ValueError(f"workers must be at most {most} processes on this machine, got {jobs.workers}.")
    return jobs.launch(backend)


def _store_address(jobs: Jobs, backend: str, output: Path) -> str:
    if jobs.store:
        check_address(jobs.store)
        return jobs.store if "://" in jobs.store else str(Path(jobs.store).absolute())
    if backend == KUBERNETES:
        raise ValueError(
            "store must be given with --backend kubernetes, because jobs cannot reach a folder on this machine: use an "
            "address such as --store s3://peerkd/runs, or a folder that this machine and the workers mount."
        )
    return str(output.absolute())
