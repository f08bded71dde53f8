"""``peerkd run``: the pipelines of a cluster, on this machine."""

from collections.abc import Sequence
from pathlib import Path

import typer

import peerkd
from peerkd.artifacts.filesystem import FilesystemStore, check_writable
from peerkd.config.pipelines import Pipeline
from peerkd.config.resolve import Config, load
from peerkd.launch.local_pipeline import run_pipeline


def run(
    pipeline: Pipeline[Config], *, preset: str, config_file: Path | None, overrides: Sequence[str], output: Path
) -> None:
    """Check everything that can be checked at once, run the pipeline, and show what came out.

    Raises:
        ValueError: If the config breaks a rule, the output folder cannot be written, or a stage refuses its input.
        StageFailedError: If a stage fails.
    """
    config = load(pipeline, preset=preset, config_file=config_file, overrides=overrides)
    check_writable(output)
    store = output.absolute()
    key = run_pipeline(compiled_pipeline(pipeline.name), {"config_json": config.to_json(), "store": str(store)})
    folder = FilesystemStore(store).fetch(key)
    typer.echo("\n" + (folder / "summary.txt").read_text(encoding="utf-8"))
    typer.echo(f"\nReport: {folder / 'report.html'}")


def compiled_pipeline(name: str) -> Path:
    """Return the compiled pipeline: beside the package in a clone, inside it where it is installed."""
    package = Path(peerkd.__file__).parent
    in_clone = package.parent / "pipelines" / f"{name}.yaml"
    return in_clone if in_clone.is_file() else package / "pipelines" / f"{name}.yaml"
