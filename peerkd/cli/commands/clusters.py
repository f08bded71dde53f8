"""The commands for clusters: ``submit``, ``doctor`` and ``reap``, and the hidden command that launchers run."""

from pathlib import Path
from typing import Annotated

import typer

from peerkd.cli.command import StrictTyper
from peerkd.cli.options import CheckedJobs, Experiment, Jobs, Namespace, Output, PipelineName, Server, Watching

cluster_app = StrictTyper(rich_markup_mode=None)


@cluster_app.command("submit")
def submit(
    pipeline: Annotated[
        Path, typer.Argument(metavar="FILE", help="Compiled pipeline, such as pipelines/jointkd.yaml.")
    ],
    server: Server,
    watching: Watching,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Parameters of the pipeline, such as preset=poster gpus=8."),
    ] = None,
    namespace: Annotated[
        str, typer.Option(envvar="KFP_NAMESPACE", help="Namespace of the run. Only multi-user servers need it.")
    ] = "",
    experiment: Annotated[
        str,
        typer.Option(
            envvar="KFP_RUN_CREATE_EXPERIMENT_NAME",
            help="Experiment of Kubeflow Pipelines under which the server lists the run.",
        ),
    ] = "peerkd",
    name: Annotated[str, typer.Option(help="Name of the run. Default: the name of the pipeline.")] = "",
    service_account: Annotated[
        str,
        typer.Option(help="Service account of the run's pods, such as peerkd-launcher. Default: the server chooses."),
    ] = "",
    image: Annotated[
        str, typer.Option(help="Container image of all tasks. Default: the image in the compiled pipeline.")
    ] = "",
    claim: Annotated[
        str,
        typer.Option(
            metavar="NAME=PATH",
            help="PersistentVolumeClaim that all tasks and workers mount at PATH, for a store in a folder below PATH.",
        ),
    ] = "",
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache",
            help="Run every task. By default, Kubeflow Pipelines may take the result of the task that divides the data "
            "from its cache.",
        ),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Wait until the run ends, and show its outcome in the exit code.")
    ] = False,
    retry: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="With --watch: how many times to start the run again if a program of Kubeflow Pipelines itself fails. "
            "The new run finds the finished stages in the store.",
            show_default="0",
        ),
    ] = None,
) -> None:
    """Send a pipeline to Kubeflow Pipelines.

    Exit codes with --watch: 0 the run succeeded, 1 it failed, 2 the command has an error that you can fix, 3 the run
    was cancelled, 4 the run did not end before the timeout, 5 the command was interrupted or the server no longer
    answered, and the run may continue.

    Example: peerkd submit pipelines/jointkd.yaml --watch preset=digits num_workers=2
    """
    from peerkd.cli.submit import submit as send

    exit_code = send(
        pipeline,
        arguments or [],
        server=server,
        namespace=namespace,
        experiment=experiment,
        name=name,
        service_account=service_account,
        image=image,
        claim=claim,
        uses_cache=not no_cache,
        wait=watch,
        num_retries=retry or 0,
        watching=watching,
    )
    raise typer.Exit(exit_code)


@cluster_app.command("doctor")
def doctor(
    jobs: CheckedJobs,
    experiment: Experiment,
    pipeline: PipelineName = "jointkd",
    output: Output = Path("runs"),
    namespace: Namespace = None,
    service_account: Annotated[
        str,
        typer.Option(
            help="Service account that runs the tasks of pipelines. Its permissions are checked. Name it here if "
            "your runs use another account than peerkd-launcher."
        ),
    ] = "peerkd-launcher",
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Check a cluster or this machine for problems.

    Each problem is shown with its fix. If a cluster is configured, the command checks the cluster. If none is, or if
    you give --preset, --config or --set, it checks only this machine: its packages, devices, memory and disk, and
    whether it can run the experiment. The exit code is 1 if a check fails.

    Example: peerkd doctor --namespace peerkd --store s3://peerkd/runs
    """
    from peerkd.cli.doctor import doctor as examine

    exit_code = examine(
        Jobs(*jobs),
        namespace=namespace,
        task_account=service_account,
        as_json=as_json,
        pipeline=pipeline,
        experiment=experiment,
        output=output,
    )
    raise typer.Exit(exit_code)


@cluster_app.command("reap")
def reap(
    namespace: Namespace = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port for health probes at /healthz. Default: no port is opened."),
    ] = None,
) -> None:
    """Delete jobs whose launchers no longer exist. The command runs inside a cluster until it is stopped.

    Example: peerkd reap --namespace peerkd --port 8080
    """
    from peerkd.cli.reap import reap as work

    work(namespace=namespace, port=port)


@cluster_app.command("stage", hidden=True)
def stage(
    name: Annotated[str, typer.Argument(help="Name of the stage, such as distill_pairs.")],
    config_json: Annotated[str, typer.Option(help="The whole experiment as JSON.")],
    store: Annotated[str, typer.Option(help="Address of the artifact store.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=KEY@FINGERPRINT", help="An input artifact. Can be repeated."),
    ] = None,
) -> None:
    """Do this worker's part of the work of a stage. Launchers run this command."""
    from peerkd.stages.command import perform

    perform(name, config_json=config_json, store=store, inputs=inputs or [])
