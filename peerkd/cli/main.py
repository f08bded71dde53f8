"""The command ``peerkd``. Heavy modules are imported only by the commands that need them, so ``--help`` is fast."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from peerkd import __version__
from peerkd.cli.command import StrictTyper
from peerkd.cli.exit_codes import check_arguments, exiting_on_errors
from peerkd.cli.options import (
    AsJson,
    CheckedJobs,
    DryRun,
    Experiment,
    Jobs,
    Namespace,
    Output,
    PipelineName,
    RunBackend,
    RunName,
    Server,
    StorePlace,
    Strategy,
    Watching,
)
from peerkd.cli.store import store_app

app = StrictTyper(
    name="peerkd",
    help="Run distillation experiments between peers: the same pipelines on a laptop and on Kubeflow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
run_app = StrictTyper(help="Run a pipeline from this machine.", no_args_is_help=True, rich_markup_mode=None)
config_app = StrictTyper(
    help="List presets, and print experiment configs and their schema.", no_args_is_help=True, rich_markup_mode=None
)
plan_app = StrictTyper(help="Forecast the size and the duration of a run.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(run_app, name="run")
app.add_typer(plan_app, name="plan")
app.add_typer(config_app, name="config")
app.add_typer(store_app, name="store")


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"peerkd {__version__}")
        raise typer.Exit


@app.callback()
def options_before_commands(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Declare the options that precede a command."""


@run_app.command("jointkd")
def run_jointkd(
    experiment: Experiment,
    jobs: Jobs,
    output: Output = Path("runs"),
    strategy: Strategy = "sweep",
    backend: RunBackend = "local",
    dry_run: DryRun = False,
) -> None:
    """Joint distillation: divide the data, train the peers, distil every pair, and write a report."""
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
    """Peer collaborative learning: split the data, train networks by every method, and compare the methods."""
    from peerkd.cli.run import run
    from peerkd.config.pipelines import PCL

    run(PCL, experiment, jobs, output=output, backend=backend, dry_run=dry_run)


@run_app.command("collaborate")
def run_collaborate(
    experiment: Experiment,
    jobs: Jobs,
    output: Output = Path("runs"),
    backend: RunBackend = "local",
    dry_run: DryRun = False,
) -> None:
    """Rounds: divide the data, train the peers, let them train and exchange in rounds, and report."""
    from peerkd.cli.run import run
    from peerkd.config.pipelines import COLLABORATE

    run(COLLABORATE, experiment, jobs, output=output, backend=backend, dry_run=dry_run)


@plan_app.command("jointkd")
def plan_jointkd(
    experiment: Experiment,
    place: StorePlace,
    measure: Annotated[
        bool | None,
        typer.Option(
            "--measure/--no-measure",
            help="Measure the speed of this machine for a few seconds. Default: only if torch is installed.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Joint distillation: print the numbers of trials, samples, bytes and hours of a run."""
    from peerkd.cli.plan import plan

    plan(experiment, place, measure=measure)


@app.command("runs")
def runs(place: StorePlace, as_json: AsJson = False) -> None:
    """List the runs of a store, the latest first: state, result, cost and size.

    Example: peerkd runs --store s3://peerkd/runs
    """
    from peerkd.cli.runs import show_runs

    show_runs(place, as_json=as_json)


@app.command("show")
def show(run: RunName, place: StorePlace, as_json: AsJson = False) -> None:
    """Print the summary of a run, and where its report, tables and networks are.

    Example: peerkd show latest
    """
    from peerkd.cli.runs import show_run

    show_run(place, run, as_json=as_json)


@app.command("open")
def open_in_browser(run: RunName, place: StorePlace) -> None:
    """Open the report of a run in the browser, and print its path.

    Example: peerkd open latest
    """
    from peerkd.cli.runs import open_report

    open_report(place, run)


@app.command("export")
def export(
    store: Annotated[
        str,
        typer.Argument(metavar="STORE", help="Store of a finished run: the folder of --output, or s3://bucket/prefix."),
    ],
    student: Annotated[int, typer.Option(metavar="PEER", help="Number of the student whose network is written.")],
    to: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="File to write, with the ending of the format: .safetensors, .pt2 (torch) or .onnx."
        ),
    ],
    export_format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="safetensors (the tensors), torch (a program of torch.export) or onnx (needs the extra onnx).",
        ),
    ] = "safetensors",
    is_best: Annotated[
        bool, typer.Option("--best", help="Write the published network, which the study has chosen. The default.")
    ] = False,
    teacher: Annotated[
        int | None,
        typer.Option(
            metavar="PEER", help="Write the network that learned from this peer, with the best setting on validation."
        ),
    ] = None,
    setting: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=VALUE,...",
            help="Write the network of any trial, such as transfer_set=both,temperature=2,alpha=0.5.",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Key of the better peers of a study, if the store has several studies."),
    ] = None,
) -> None:
    """Write the network of one student for use without peerkd, and check that the file gives the same logits.

    A network that is not in the store is trained once more, and compared with the recorded trial value by value.
    """
    from peerkd.cli.export import export as write

    write(
        store,
        student=student,
        to=to,
        export_format=export_format,
        is_best=is_best,
        teacher=teacher,
        setting=setting,
        study=study,
    )


@app.command("submit")
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
    watch: Annotated[
        bool, typer.Option("--watch", help="Wait until the run ends, and report its outcome by the exit code.")
    ] = False,
) -> None:
    """Send a compiled pipeline to Kubeflow Pipelines.

    Exit codes with --watch: 0 the run succeeded, 1 it failed, 2 the command has an error that you can fix, 3 the run
    was cancelled, 4 it did not end before the timeout, 5 the command stopped watching, and the run continues.
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
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, as printed by 'peerkd submit'.")],
    server: Server,
    watching: Watching,
) -> None:
    """Wait until a run on Kubeflow Pipelines ends.

    Exit codes: 0 the run succeeded, 1 it failed, 2 the command has an error that you can fix, 3 the run was cancelled,
    4 it did not end before the timeout, 5 the command stopped watching, and the run continues.
    """
    from peerkd.cli.submit import watch_run

    raise typer.Exit(watch_run(run, server=server, watching=watching))


@app.command("doctor")
def doctor(
    jobs: CheckedJobs,
    namespace: Namespace = None,
    service_account: Annotated[
        str,
        typer.Option(
            help="Service account whose permissions to run the tasks of pipelines are checked. Name it here if "
            "your runs use another account than the default."
        ),
    ] = "peerkd-launcher",
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Check a cluster, and explain how to fix each problem. The exit code is 1 if a check fails."""
    from peerkd.cli.doctor import doctor as examine

    raise typer.Exit(examine(Jobs(*jobs), namespace=namespace, task_account=service_account, as_json=as_json))


@app.command("reap")
def reap(
    namespace: Namespace = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port for health probes at /healthz. Default: no port is opened."),
    ] = None,
) -> None:
    """Delete jobs whose launchers no longer exist. The command runs inside a cluster until it is stopped."""
    from peerkd.cli.reap import reap as work

    work(namespace=namespace, port=port)


@app.command("stage", hidden=True)
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


@config_app.command("presets")
def config_presets(
    pipeline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Pipeline: jointkd or pcl. Default: both.")
    ] = None,
) -> None:
    """List the presets of each pipeline."""
    from peerkd.config.pipelines import PIPELINES, find_pipeline

    for each in PIPELINES.values() if pipeline is None else [find_pipeline(pipeline)]:
        typer.echo(f"peerkd run {each.name} --preset NAME")
        for name, preset in each.presets.items():
            typer.echo(f"  {name:<24}{(preset.__doc__ or '').splitlines()[0]}")


@config_app.command("show")
def config_show(experiment: Experiment, pipeline: PipelineName = "jointkd") -> None:
    """Print an experiment as YAML with every default written out, for use with --config."""
    from peerkd.config.pipelines import find_pipeline
    from peerkd.config.resolve import to_yaml

    typer.echo(to_yaml(experiment.load(find_pipeline(pipeline))), nl=False)


@config_app.command("schema")
def config_schema(pipeline: PipelineName = "jointkd") -> None:
    """Print the JSON schema of experiment configs."""
    import json

    from peerkd.config.pipelines import find_pipeline

    typer.echo(json.dumps(find_pipeline(pipeline).config.model_json_schema(), indent=2))


def main() -> None:
    """Run the command line. Exit codes: 0 success, 1 failure, 2 an error that the user can fix, 130 interrupted."""
    # The matrices are small, so threads of several processes on one machine would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with exiting_on_errors():
        check_arguments(sys.argv[1:])
        sys.exit(app(standalone_mode=False) or 0)
