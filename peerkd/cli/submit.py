"""``peerkd submit`` and ``peerkd watch``: sending a pipeline to Kubeflow Pipelines, and waiting for a run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from peerkd.artifacts.open import check_address
from peerkd.config.cluster import CLUSTER_FILE_VARIABLE, check_placement, resolve_cluster
from peerkd.config.pipelines import PIPELINES
from peerkd.config.resolve import resolve, split_overrides
from peerkd.config.tuning import check_strategy
from peerkd.launch.backends import check_backend
from peerkd.launch.package import Package, read_arguments, read_package, texts
from peerkd.launch.runs.api import Token
from peerkd.launch.runs.server import PipelineServer
from peerkd.launch.runs.watch import (
    CANCELED,
    FAILED,
    PATIENCE_SECONDS,
    SUCCEEDED,
    UNFINISHED,
    UNWATCHED,
    interrupted,
    watch,
)

EXIT_CODES: Final = {SUCCEEDED: 0, FAILED: 1, CANCELED: 3, UNFINISHED: 4, UNWATCHED: 5}
"""The exit code of each outcome. 2 is something that the user can fix, as everywhere."""


def submit(
    file: Path,
    pairs: Sequence[str],
    *,
    endpoint: str,
    namespace: str,
    experiment: str,
    name: str,
    service_account: str,
    token: str,
    token_file: Path | None,
    image: str,
    wait: bool,
    timeout_seconds: float | None,
    patience_seconds: float | None,
) -> int:
    """Send a pipeline, and return the exit code.

    Raises:
        ValueError: If an argument is wrong. Nothing is sent then.
        ClusterUnavailableError: If the server cannot be reached.
        ClusterRefusedError: If the server refuses the run.
    """
    for option, value in (("timeout", timeout_seconds), ("patience", patience_seconds)):
        if value is not None and not wait:
            raise ValueError(f"{option} must come with --watch, got {value:g}.")
    package = read_package(file)
    arguments = read_arguments(package, pairs)
    _check_experiment(package, arguments)
    if image:
        package = package.with_image(image)
    server = PipelineServer(endpoint, namespace=namespace, token=Token(token, file=token_file))
    run_name = name or package.name
    try:
        run_id = server.submit(
            package,
            arguments,
            experiment=experiment,
            name=run_name,
            service_account=service_account,
            tell=lambda text: typer.echo(f"submit: {text}"),
        )
    except KeyboardInterrupt:
        # The usual advice, to give the command again, may start a second run.
        typer.echo(
            f"Interrupted while the run {run_name} was being sent. Look whether it exists before you send it again: "
            f"{server.endpoint}/#/runs",
            err=True,
        )
        return EXIT_CODES[UNWATCHED]
    typer.echo(f"run {run_id}: sent; {server.page(run_id)}")
    if not wait:
        return 0
    return _wait(server, run_id, was_seen=True, timeout_seconds=timeout_seconds, patience_seconds=patience_seconds)


def watch_run(
    run_id: str,
    *,
    endpoint: str,
    token: str,
    token_file: Path | None,
    timeout_seconds: float | None,
    patience_seconds: float | None,
) -> int:
    """Wait for a run that was sent before, and return the exit code.

    Raises:
        ValueError: If the endpoint is not an address, or the token cannot be read.
    """
    server = PipelineServer(endpoint, token=Token(token, file=token_file))
    return _wait(server, run_id, was_seen=False, timeout_seconds=timeout_seconds, patience_seconds=patience_seconds)


def _check_experiment(package: Package, arguments: Mapping[str, Any]) -> None:
    """Check the arguments of one of our pipelines as its first stage and its launcher will.

    Raises:
        ValueError: If the preset, the backend or the strategy does not exist, or a setting breaks a rule.
    """
    if package.name not in PIPELINES:
        return
    given = texts(package, arguments)
    resolve(
        PIPELINES[package.name],
        preset=given["preset"],
        config_json=given["config_json"],
        overrides=given["overrides"],
    )
    check_backend(given["backend"])
    check_placement(given["backend"], gpus=given["gpus"], cluster=given["cluster"])
    check_address(given["store"])
    if "strategy" in given:
        check_strategy(given["strategy"], split_overrides(given["overrides"]))
    # This machine knows what the operator allows if the variable names a copy of the cluster's settings.
    settings = os.environ.get(CLUSTER_FILE_VARIABLE)
    resolve_cluster(
        given["cluster"],
        num_workers=given["num_workers"],
        gpus=given["gpus"],
        file=Path(settings) if settings else None,
    )


def _wait(
    server: PipelineServer,
    run_id: str,
    *,
    was_seen: bool,
    timeout_seconds: float | None,
    patience_seconds: float | None,
) -> int:
    try:
        ending = watch(
            server,
            run_id,
            was_seen=was_seen,
            timeout_seconds=timeout_seconds,
            patience_seconds=PATIENCE_SECONDS if patience_seconds is None else patience_seconds,
            tell=lambda text: typer.echo(f"run {run_id}: {text}"),
        )
    except KeyboardInterrupt:
        ending = interrupted(server, run_id)
    typer.echo(ending.message, err=ending.outcome != SUCCEEDED)
    return EXIT_CODES[ending.outcome]
