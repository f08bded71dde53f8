"""``peerkd submit``: a compiled pipeline sent to Kubeflow Pipelines, checked before, and waited for if wanted."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from peerkd.config.cluster import CLUSTER_FILE_VARIABLE, resolve_cluster
from peerkd.config.pipelines import PIPELINES
from peerkd.config.resolve import resolve
from peerkd.launch.package import Package, read_arguments, read_package, texts
from peerkd.launch.submit import CANCELED, FAILED, SUCCEEDED, UNFINISHED, PipelineServer, watch

EXIT_CODES: Final = {SUCCEEDED: 0, FAILED: 1, CANCELED: 3, UNFINISHED: 4}
"""2 is something that the user can fix, as everywhere."""


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
    image: str,
    wait: bool,
    timeout_seconds: float | None,
) -> int:
    """Send a pipeline, and return the exit code.

    Raises:
        ValueError: If an argument is wrong; then nothing was sent.
        ClusterUnavailableError: If the server cannot be reached.
        ClusterRefusedError: If it takes no such run.
    """
    package = read_package(file)
    arguments = read_arguments(package, pairs)
    check_experiment(package, arguments)
    if image:
        package = package.with_image(image)
    server = PipelineServer(endpoint, namespace=namespace, token=token)
    run_id = server.submit(
        package, arguments, experiment=experiment, name=name or package.name, service_account=service_account
    )
    typer.echo(f"run {run_id}: sent; {server.page(run_id)}")
    if not wait:
        return 0
    ending = watch(
        server, run_id, timeout_seconds=timeout_seconds, tell=lambda text: typer.echo(f"run {run_id}: {text}")
    )
    typer.echo(ending.message, err=ending.outcome != SUCCEEDED)
    return EXIT_CODES[ending.outcome]


def check_experiment(package: Package, arguments: Mapping[str, Any]) -> None:
    """Look at the values as the first stage and the launcher will, if the pipeline is one of ours.

    Raises:
        ValueError: If the preset is unknown, or a setting breaks a rule.
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
    # What an operator allows is known here if the variable names a copy of the cluster's settings.
    settings = os.environ.get(CLUSTER_FILE_VARIABLE)
    resolve_cluster(
        given["cluster"],
        num_workers=given["num_workers"],
        gpus=given["gpus"],
        file=Path(settings) if settings else None,
    )
