"""``peerkd run``: a pipeline orchestrated by this machine, with its jobs here or on a cluster."""

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
"""Limit on workers unless the machine has more cores. Each is a process of some hundred megabytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """The options that say where the work of a run is done."""

    backend: str = LOCAL
    workers: int | None = None
    gpus: int | None = None
    cluster: str = ""
    store: str | None = None
    """Address of the store. None: the folder of the output."""

    @property
    def parameters(self) -> dict[str, str]:
        """These options as the parameters of a pipeline, which are all text."""
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
    """Check everything that can be checked beforehand, run the pipeline, and show its summary.

    Args:
        pipeline: What to run.
        preset: Name of the experiment to start from. None: the default, or the file.
        config_file: A file in place of a preset.
        overrides: ``key=value`` pairs.
        output: Folder of the store, or of the report alone.
        placement: Where the work is done.
        strategy: How settings are found; None for a pipeline without that choice.
        dry_run: Print the jobs instead of running them.

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
    # This sends nothing, and refuses an environment that lacks a setting of a remote store.
    opened = open_store(store)
    arguments = {"config_json": config.to_json(), "store": store, **placement.parameters}
    if strategy is not None:
        arguments["strategy"] = strategy
    key = run_pipeline(compiled_pipeline(pipeline.name), arguments)
    folder = opened.fetch(key)
    if placement.store is not None:
        # The report is then in the same place as after a run with a local store.
        shutil.copytree(folder, output / key, dirs_exist_ok=True)
        folder = output.absolute() / key
    typer.echo("\n" + (folder / "summary.txt").read_text(encoding="utf-8"))
    typer.echo(f"\nReport: {folder / 'report.html'}")


def cluster_settings(placement: Placement) -> ClusterConfig:
    """Return the settings of a job's workers: those of an operator's file, then those of the command line.

    Raises:
        ValueError: If a setting is unknown or breaks a rule, or the backend does not exist.
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
