"""``peerkd submit``, ``peerkd watch`` and ``peerkd stop``: sending a pipeline to Kubeflow Pipelines, and its runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from peerkd.artifacts.open import check_address
from peerkd.cli.options import Server, Watching
from peerkd.config.cluster import is_kubernetes_name, resolve_cluster
from peerkd.config.launch import LaunchConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.pipelines import PIPELINES
from peerkd.config.resolve import resolve, split_overrides
from peerkd.config.tuning import check_strategy
from peerkd.excerpt import plain
from peerkd.launch.backends import check_device
from peerkd.launch.order import POD_VARIABLE
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
    Ending,
    interrupted,
    outcome_of,
    watch,
)
from peerkd.launch.shared_folder import check_pipeline_folder

EXIT_CODES: Final = {SUCCEEDED: 0, FAILED: 1, CANCELED: 3, UNFINISHED: 4, UNWATCHED: 5}
"""The exit code of each outcome. Code 2 stands for an error that the user can fix, as in all commands."""


def submit(
    file: Path,
    pairs: Sequence[str],
    *,
    server: Server,
    namespace: str,
    experiment: str,
    name: str,
    service_account: str,
    image: str,
    claim: str,
    uses_cache: bool,
    wait: bool,
    num_retries: int,
    watching: Watching,
) -> int:
    """Send a pipeline, and return the exit code.

    If ``wait`` is true and the run fails because of Kubeflow Pipelines itself, a new run with the same parameters
    replaces it, at most ``num_retries`` times. The new run finds the finished stages in the store.

    Raises:
        ValueError: If an argument is wrong. Nothing is sent then.
        ClusterUnavailableError: If the server cannot be reached.
        ClusterRefusedError: If the server refuses the run.
    """
    package = read_package(file)
    if claim:
        package = package.with_claim(*_read_claim(claim))
    arguments = read_arguments(package, pairs)
    _check_experiment(package, arguments)
    if image:
        package = package.with_image(image)
    if not uses_cache:
        package = package.without_cache()
    pipeline_server = _connect(server, namespace=namespace)
    run_name = name or package.name
    for num_retries_left in range(num_retries, -1, -1):
        try:
            run_id = pipeline_server.submit(
                package,
                arguments,
                experiment=experiment,
                name=run_name,
                service_account=service_account,
                notify=lambda text: typer.echo(f"submit: {text}", err=True),
            )
        except KeyboardInterrupt:
            # The usual advice is to repeat the command, which might start a second run here.
            typer.echo(
                f"Interrupted while the run {run_name} was being sent. Check whether it exists before you send it "
                f"again: {pipeline_server.endpoint}/#/runs",
                err=True,
            )
            return EXIT_CODES[UNWATCHED]
        typer.echo(f"run {run_id}: sent; {pipeline_server.page(run_id)}")
        if not wait:
            return 0
        ending = _wait(pipeline_server, run_id, watching, is_known_run=True)
        if not (ending.is_fault_of_server and num_retries_left):
            break
        typer.echo(f"submit: sending the run again ({num_retries_left} of {num_retries} retries left)", err=True)
    return EXIT_CODES[ending.outcome]


def watch_run(run_id: str, *, server: Server, watching: Watching) -> int:
    """Wait for a run that was sent before, and return the exit code.

    Raises:
        ValueError: If the endpoint is not an address, or the token cannot be read.
    """
    return EXIT_CODES[_wait(_connect(server), run_id, watching, is_known_run=False).outcome]


def stop_run(run_id: str, *, server: Server) -> None:
    """End a run on Kubeflow Pipelines, and print how it is continued.

    Raises:
        ValueError: If the run has ended, the endpoint is not an address, or the token cannot be read.
        ClusterUnavailableError: If the server cannot be reached.
        ClusterRefusedError: If the server does not have the run, or does not allow ending it.
    """
    pipeline_server = _connect(server)
    outcome = outcome_of(pipeline_server.run(run_id))
    if outcome is not None:
        raise ValueError(f"RUN must be a run in progress, got {run_id}, which has ended as {outcome}.")
    pipeline_server.terminate(run_id)
    typer.echo(
        f"run {run_id}: Kubeflow Pipelines is ending it, and the reaper deletes its job; "
        f"{pipeline_server.page(run_id)}\nTo continue, submit the pipeline again with the same parameters."
    )


def _connect(server: Server, *, namespace: str = "") -> PipelineServer:
    return PipelineServer(server.endpoint, namespace=namespace, token=Token(server.token, file=server.token_file))


def _read_claim(text: str) -> tuple[str, str]:
    """Return the name of a claim and the path at which pods mount it, from ``NAME=PATH``."""
    name, _, folder = text.partition("=")
    if not is_kubernetes_name(name) or not folder.startswith("/") or ":" in folder or not folder.strip("/"):
        raise ValueError(
            f"claim must be NAME=PATH with an absolute path, such as peerkd-store=/mnt/peerkd, got {plain(text)}."
        )
    return name, folder.rstrip("/")


def _check_experiment(package: Package, arguments: Mapping[str, Any]) -> None:
    """Check the arguments of a pipeline as its tasks will check them, before the pipeline is sent.

    Pipelines of other projects are not checked.

    Raises:
        ValueError: If the preset, the backend or the strategy does not exist, or a setting breaks a rule.
    """
    if package.name not in PIPELINES:
        return
    given = texts(package, arguments)
    config = resolve(
        PIPELINES[package.name],
        preset=given["preset"],
        config_json=given["config_json"],
        overrides=given["overrides"],
    )
    check_address(given["store"])
    check_pipeline_folder(given["store"], package.documents)
    if "strategy" in given:
        check_strategy(given["strategy"], split_overrides(given["overrides"]))
    launch = {name: given[name] for name in ("backend", "num_workers", "gpus", "cluster")}
    # If PEERKD_CLUSTER_FILE names a copy of the cluster's settings, the operator's limits are checked here too.
    launched = LaunchConfig.from_parameters(**launch)
    resolve_cluster(launched)
    assert isinstance(config, PeerExperimentConfig | PclConfig)
    check_device(launched, config.compute.device, environment={POD_VARIABLE: "a task of the run"})


def _wait(server: PipelineServer, run_id: str, watching: Watching, *, is_known_run: bool) -> Ending:
    try:
        ending = watch(
            server,
            run_id,
            is_known_run=is_known_run,
            timeout_seconds=watching.timeout,
            patience_seconds=PATIENCE_SECONDS if watching.patience is None else watching.patience,
            notify=lambda text: typer.echo(f"run {run_id}: {text}", err=True),
        )
    except KeyboardInterrupt:
        ending = interrupted(server, run_id)
    typer.echo(ending.message, err=ending.outcome != SUCCEEDED)
    return ending
