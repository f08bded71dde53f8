"""``peerkd run``: the pipelines of a cluster, orchestrated by this machine; its jobs run here or on a cluster."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

import peerkd
from peerkd.artifacts.filesystem import check_writable
from peerkd.artifacts.open import check_address, check_folder, open_store
from peerkd.config.cluster import CLUSTER_FILE_VARIABLE, ClusterConfig, check_placement, resolve_cluster
from peerkd.config.pipelines import Pipeline
from peerkd.config.resolve import Config, load
from peerkd.config.tuning import check_strategy
from peerkd.excerpt import plain
from peerkd.launch.local_pipeline import run_pipeline

LOCAL, KUBERNETES = "local", "kubernetes"

_MAX_LOCAL_WORKERS = 64
"""Each is a process with torch in it: some hundred megabytes. More of them only where there are as many cores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where the work of a run is done, as a person says it."""

    backend: str = LOCAL
    workers: int | None = None
    gpus: int | None = None
    cluster: str = ""
    store: str | None = None
    """Address of the store. None: the folder of the output."""

    @property
    def parameters(self) -> dict[str, str]:
        """The same as parameters of a pipeline: all are texts."""
        return {
            "backend": self.backend,
            "num_workers": "" if self.workers is None else str(self.workers),
            "gpus": "" if self.gpus is None else str(self.gpus),
            "cluster": self.cluster,
        }


def run(
    pipeline: Pipeline[Config],
    *,
    preset: str | None,
    config_file: Path | None,
    overrides: Sequence[str],
    output: Path,
    placement: Placement,
    strategy: str | None = None,
    dry_run: bool = False,
) -> None:
    """Check everything that can be checked at once, run the pipeline, and show what came out.

    Args:
        pipeline: What to run.
        preset: Name of the experiment to start from. None: the default, or the file.
        config_file: In place of a preset.
        overrides: ``key=value`` pairs.
        output: Folder of the store, or of the report alone.
        placement: Where the work is done.
        strategy: How settings are found; None for a pipeline that does not ask.
        dry_run: Print the jobs instead.

    Raises:
        ValueError: If the config breaks a rule, the output folder cannot be written, or a stage refuses its input.
        StageFailedError: If a stage fails.
    """
    if strategy is not None:
        check_strategy(strategy, overrides)
    config = load(pipeline, preset=preset, config_file=config_file, overrides=overrides)
    settings = cluster_settings(placement)
    check_folder("output", output)
    store = _store_address(placement, output)
    if dry_run and placement.backend != KUBERNETES:
        raise ValueError(f"backend must be {KUBERNETES} with --dry-run, which shows its jobs, got {placement.backend}.")
    if dry_run:
        from peerkd.cli.dry_run import show_jobs

        show_jobs(pipeline.name, config.to_json(), settings, store=store, strategy=strategy)
        return
    check_writable(output)
    # Nothing is sent yet: this says what the environment lacks for a distant store.
    opened = open_store(store)
    arguments = {"config_json": config.to_json(), "store": store, **placement.parameters}
    if strategy is not None:
        arguments["strategy"] = strategy
    key = run_pipeline(compiled_pipeline(pipeline.name), arguments)
    folder = opened.fetch(key)
    if placement.store is not None:
        # What is worth looking at lies where it would lie after a run on this machine alone.
        shutil.copytree(folder, output / key, dirs_exist_ok=True)
        folder = output.absolute() / key
    typer.echo("\n" + (folder / "summary.txt").read_text(encoding="utf-8"))
    typer.echo(f"\nReport: {folder / 'report.html'}")


def cluster_settings(placement: Placement) -> ClusterConfig:
    """Return what a job's workers are given: an operator's file, and what is said on the command line.

    Raises:
        ValueError: If a setting is unknown or breaks a rule, or there is no such backend.
    """
    if placement.backend not in (LOCAL, KUBERNETES):
        raise ValueError(f"backend must be one of {LOCAL}, {KUBERNETES}, got {plain(placement.backend)}.")
    file = os.environ.get(CLUSTER_FILE_VARIABLE)
    parameters = placement.parameters
    check_placement(placement.backend, gpus=parameters["gpus"], cluster=parameters["cluster"])
    most = max(_MAX_LOCAL_WORKERS, os.cpu_count() or 1)
    if placement.backend == LOCAL and (placement.workers or 1) > most:
        raise ValueError(f"workers must be at most {most} processes on this machine, got {placement.workers}.")
    return resolve_cluster(
        parameters["cluster"],
        num_workers=parameters["num_workers"],
        gpus=parameters["gpus"],
        file=Path(file) if file else None,
    )


def compiled_pipeline(name: str) -> Path:
    """Return the compiled pipeline: beside the package in a clone, inside it where it is installed."""
    package = Path(peerkd.__file__).parent
    in_clone = package.parent / "pipelines" / f"{name}.yaml"
    return in_clone if in_clone.is_file() else package / "pipelines" / f"{name}.yaml"


def _store_address(placement: Placement, output: Path) -> str:
    if placement.store:
        check_address(placement.store)
        return placement.store if "://" in placement.store else str(Path(placement.store).absolute())
    if placement.backend == KUBERNETES:
        raise ValueError(
            "store must be given with --backend kubernetes, since jobs cannot reach a folder of this machine: an "
            "address as in --store s3://peerkd/runs."
        )
    return str(output.absolute())
