"""The command ``peerkd``. Heavy imports wait until a command needs them, so that ``--help`` is at once."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from peerkd.cli.command import StrictTyper
from peerkd.cli.edge import check_arguments, terminal_edge
from peerkd.cli.options import (
    DryRun,
    Experiment,
    Jobs,
    Namespace,
    Output,
    PipelineName,
    RunBackend,
    Server,
    Strategy,
    Watching,
)
from peerkd.cli.store import store_app

app = StrictTyper(
    name="peerkd",
    help="Peer distillation experiments: the same pipelines on a laptop and on Kubeflow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
run_app = StrictTyper(help="Run a pipeline from this machine.", no_args_is_help=True, rich_markup_mode=None)
config_app = StrictTyper(help="Look at experiment configs.", no_args_is_help=True, rich_markup_mode=None)
plan_app = StrictTyper(help="Say what a run will take.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(run_app, name="run")
app.add_typer(plan_app, name="plan")
app.add_typer(config_app, name="config")
app.add_typer(store_app, name="store")


@run_app.command("jointkd")
def run_jointkd(
    experiment: Experiment,
    jobs: Jobs,
    output: Output = Path("runs"),
    strategy: Strategy = "sweep",
    backend: RunBackend = "local",
    dry_run: DryRun = False,
) -> None:
    """Joint distillation: divide the data, train the peers, let every pair distil or tune that, report."""
    from peerkd.cli.run import run
    from peerkd.config.pipelines import JOINTKD

    run(JOINTKD, experiment, jobs, output=output, strategy=strategy, backend=backend, dry_run=dry_run)


@run_app.command("pcl")
def run_pcl(
    experiment: Experiment,
    jobs: Jobs,
    output: Output = Path("runs"),
    backend: RunBackend = "local",
    dry_run: DryRun = False,
) -> None:
    """Peer collaborative learning: split the data, train networks by every method, compare the methods."""
    from peerkd.cli.run import run
    from peerkd.config.pipelines import PCL

    run(PCL, experiment, jobs, output=output, backend=backend, dry_run=dry_run)


@plan_app.command("jointkd")
def plan_jointkd(
    experiment: Experiment,
    measure: Annotated[
        bool | None,
        typer.Option(
            "--measure/--no-measure",
            help="Measure for some seconds how long it takes here. Default: if torch is installed.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Joint distillation: how many trials, samples, bytes and hours."""
    from peerkd.cli.plan import plan

    plan(experiment, measure=measure)


@app.command("submit")
def submit(
    pipeline: Annotated[Path, typer.Argument(metavar="FILE", help="Compiled pipeline: pipelines/jointkd.yaml.")],
    server: Server,
    watching: Watching,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Parameters: preset=poster gpus=8.")
    ] = None,
    namespace: Annotated[
        str, typer.Option(envvar="KFP_NAMESPACE", help="Namespace of the run, on a multi-user server.")
    ] = "",
    experiment: Annotated[
        str,
        typer.Option(envvar="KFP_RUN_CREATE_EXPERIMENT_NAME", help="Experiment that the run belongs to on the server."),
    ] = "peerkd",
    name: Annotated[str, typer.Option(help="Name of the run. Without it, the pipeline's.")] = "",
    service_account: Annotated[
        str,
        typer.Option(help="Account of the run's pods: peerkd-launcher of manifests/base. Without it, the server's."),
    ] = "",
    image: Annotated[str, typer.Option(help="Control image of all tasks, in place of the compiled one.")] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Wait for the run's end, which the exit code tells.")] = False,
) -> None:
    """Send a compiled pipeline to Kubeflow Pipelines.

    Exit codes with --watch: 0 succeeded, 1 failed, 2 something you can fix, 3 cancelled, 4 not ended in time, 5 the
    watch ended before the run.
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
        wait=watch,
        watching=watching,
    )
    raise typer.Exit(exit_code)


@app.command("watch")
def watch(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as 'peerkd submit' prints it.")],
    server: Server,
    watching: Watching,
) -> None:
    """Wait for a run that was sent to Kubeflow Pipelines before.

    Exit codes: 0 succeeded, 1 failed, 2 something you can fix, 3 cancelled, 4 not ended in time, 5 the watch ended
    before the run.
    """
    from peerkd.cli.submit import watch_run

    raise typer.Exit(watch_run(run, server=server, watching=watching))


@app.command("doctor")
def doctor(
    jobs: Jobs,
    namespace: Namespace = None,
    service_account: Annotated[
        str, typer.Option(help="Account that the tasks of pipelines run as, as for 'peerkd submit'.")
    ] = "peerkd-launcher",
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Check a cluster, and say how to fix what is wrong. Exit code 1 if anything is."""
    from peerkd.cli.doctor import doctor as examine

    raise typer.Exit(examine(jobs, namespace=namespace, task_account=service_account, as_json=as_json))


@app.command("reap")
def reap(
    namespace: Namespace = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Answer probes at /healthz on this port. Without it, none.")
    ] = None,
) -> None:
    """Delete the jobs that no launcher waits for any more, until stopped. Runs inside a cluster."""
    from peerkd.cli.reap import reap as work

    work(namespace=namespace, port=port)


@app.command("stage", hidden=True)
def stage(
    noun: Annotated[str, typer.Argument(help="Name of the stage, as in distill_pairs.")],
    config_json: Annotated[str, typer.Option(help="The whole experiment as JSON.")],
    store: Annotated[str, typer.Option(help="Address of the artifact store.")],
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="NAME=KEY@FINGERPRINT", help="An artifact. Repeatable.")
    ] = None,
) -> None:
    """Do a stage's work, or this worker's part of it. Launchers call this."""
    from peerkd.stages.command import perform

    perform(noun, config_json=config_json, store=store, inputs=inputs or [])


@config_app.command("presets")
def config_presets(
    pipeline: Annotated[str | None, typer.Option(metavar="NAME", help="jointkd or pcl. Without it, both.")] = None,
) -> None:
    """List the presets of each pipeline."""
    from peerkd.config.pipelines import PIPELINES, find_pipeline

    for each in PIPELINES.values() if pipeline is None else [find_pipeline(pipeline)]:
        typer.echo(f"peerkd run {each.name} --preset NAME")
        for name, preset in each.presets.items():
            typer.echo(f"  {name:<24}{(preset.__doc__ or '').splitlines()[0]}")


@config_app.command("show")
def config_show(experiment: Experiment, pipeline: PipelineName = "jointkd") -> None:
    """Print a whole experiment as YAML, every default written out: a file for --config."""
    from peerkd.config.pipelines import find_pipeline
    from peerkd.config.resolve import to_yaml

    typer.echo(to_yaml(experiment.load(find_pipeline(pipeline))), nl=False)


@config_app.command("schema")
def config_schema(pipeline: PipelineName = "jointkd") -> None:
    """Print the JSON schema of an experiment."""
    import json

    from peerkd.config.pipelines import find_pipeline

    typer.echo(json.dumps(find_pipeline(pipeline).config.model_json_schema(), indent=2))


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 something the user can fix, 130 interrupted."""
    # Matrices are small here, and threads of several workers on one machine only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with terminal_edge():
        check_arguments(sys.argv[1:])
        sys.exit(app(standalone_mode=False) or 0)
