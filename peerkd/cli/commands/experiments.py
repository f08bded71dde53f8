"""The commands that describe, forecast and run an experiment: ``config``, ``plan`` and ``run``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from peerkd.cli import completion
from peerkd.cli.command import StrictTyper
from peerkd.cli.options import (
    AsJson,
    DryRun,
    Experiment,
    Jobs,
    Measure,
    Output,
    PipelineName,
    RunBackend,
    StorePlace,
    Strategy,
    Verbosity,
)

init_app = StrictTyper(rich_markup_mode=None)
config_app = StrictTyper(help="Print presets, configs and their schema.", no_args_is_help=True, rich_markup_mode=None)
plan_app = StrictTyper(help="Forecast the size and the duration of a run.", no_args_is_help=True, rich_markup_mode=None)
run_app = StrictTyper(help="Run a pipeline from this machine.", no_args_is_help=True, rich_markup_mode=None)


@init_app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New or empty folder.")],
    kind: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="NAME",
            help="Experiment to start from: digits, hospitals (own images), own-loss (own code) or rounds.",
            autocompletion=completion.one_of("digits", "hospitals", "own-loss", "rounds"),
        ),
    ] = "digits",
) -> None:
    """Write an experiment to start from.

    The folder gets a config with comments, a README with the commands that plan and run it, and the Python module that
    the config names, if it names one.

    Example: peerkd init mine --for hospitals
    """
    from peerkd.cli.init import init as write

    write(folder, kind)


@config_app.command("presets")
def config_presets(
    pipeline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Pipeline: jointkd, pcl or collaborate. Default: all.",
            autocompletion=completion.pipelines,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the presets of each pipeline.

    Example: peerkd config presets --pipeline pcl
    """
    from peerkd.config.pipelines import PIPELINES, find_pipeline

    found = list(PIPELINES.values()) if pipeline is None else [find_pipeline(pipeline)]
    if as_json:
        described = {
            each.name: {name: (preset.__doc__ or "").splitlines()[0] for name, preset in each.presets.items()}
            for each in found
        }
        typer.echo(json.dumps(described, indent=2))
        return
    for each in found:
        typer.echo(f"peerkd run {each.name} --preset NAME")
        for name, preset in each.presets.items():
            typer.echo(f"  {name:<24}{(preset.__doc__ or '').splitlines()[0]}")


@config_app.command("show")
def config_show(
    experiment: Experiment,
    pipeline: PipelineName = "jointkd",
    one_line: Annotated[
        bool,
        typer.Option(
            "--one-line",
            help="Print only what differs from the defaults, in one line for the parameter config_json of a pipeline.",
        ),
    ] = False,
) -> None:
    """Print an experiment as YAML with every default written out, for use with --config.

    Example: peerkd config show --preset digits > mine.yaml
    """
    from peerkd.cli.one_line import to_line
    from peerkd.config.pipelines import find_pipeline
    from peerkd.config.resolve import to_yaml

    config = experiment.load(find_pipeline(pipeline))
    typer.echo(f"{to_line(config)}\n" if one_line else to_yaml(config), nl=False)


@config_app.command("schema")
def config_schema(pipeline: PipelineName = "jointkd") -> None:
    """Print the JSON schema of experiment configs.

    Example: peerkd config schema --pipeline jointkd > schema.json
    """
    from peerkd.config.pipelines import find_pipeline

    typer.echo(json.dumps(find_pipeline(pipeline).config.model_json_schema(), indent=2))


@run_app.command("jointkd")
def run_jointkd(
    experiment: Experiment,
    jobs: Jobs,
    verbosity: Verbosity,
    output: Output = Path("runs"),
    strategy: Strategy = "sweep",
    backend: RunBackend = "local",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Joint distillation: divide the data, train the peers, distil every pair, and write a report.

    Example: peerkd run jointkd --set seed=1 --set "sweep.alphas=[0.5,0.9]"
    """
    from peerkd.cli.run import run
    from peerkd.config.pipelines import JOINTKD

    run(
        JOINTKD,
        experiment,
        jobs,
        verbosity,
        output=output,
        strategy=strategy,
        backend=backend,
        dry_run=dry_run,
        as_json=as_json,
    )


@run_app.command("pcl")
def run_pcl(
    experiment: Experiment,
    jobs: Jobs,
    verbosity: Verbosity,
    output: Output = Path("runs"),
    backend: RunBackend = "local",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Peer collaborative learning: split the data, train networks by every method, and compare the methods.

    Example: peerkd run pcl --preset digits_ablation
    """
    from peerkd.cli.run import run
    from peerkd.config.pipelines import PCL

    run(PCL, experiment, jobs, verbosity, output=output, backend=backend, dry_run=dry_run, as_json=as_json)


@run_app.command("collaborate")
def run_collaborate(
    experiment: Experiment,
    jobs: Jobs,
    verbosity: Verbosity,
    output: Output = Path("runs"),
    backend: RunBackend = "local",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Rounds: divide the data, train the peers, let them exchange and train in rounds, and write a report.

    Example: peerkd run collaborate --set rounds.topology.kind=ring
    """
    from peerkd.cli.run import run
    from peerkd.config.pipelines import COLLABORATE

    run(COLLABORATE, experiment, jobs, verbosity, output=output, backend=backend, dry_run=dry_run, as_json=as_json)


@plan_app.command("jointkd")
def plan_jointkd(
    experiment: Experiment,
    place: StorePlace,
    strategy: Strategy = "sweep",
    measure: Measure = None,
    as_json: AsJson = False,
) -> None:
    """Joint distillation: print the numbers of trials, samples, bytes and hours of a run.

    Example: peerkd plan jointkd --set partition.num_peers=100 --no-measure
    """
    from peerkd.cli.plan import plan
    from peerkd.config.pipelines import JOINTKD

    plan(JOINTKD, experiment, place, measure=measure, strategy=strategy, as_json=as_json)


@plan_app.command("pcl")
def plan_pcl(experiment: Experiment, measure: Measure = None, as_json: AsJson = False) -> None:
    """Peer collaborative learning: print the numbers of runs, samples, bytes and hours of a study.

    Example: peerkd plan pcl --set num_seeds=10
    """
    from peerkd.cli.plan import plan
    from peerkd.config.pipelines import PCL

    plan(PCL, experiment, StorePlace(), measure=measure, as_json=as_json)


@plan_app.command("collaborate")
def plan_collaborate(
    experiment: Experiment, place: StorePlace, measure: Measure = None, as_json: AsJson = False
) -> None:
    """Rounds: print the numbers of rounds, samples, exchanged bytes and hours of a run.

    Example: peerkd plan collaborate --set rounds.topology.kind=ring --no-measure
    """
    from peerkd.cli.plan import plan
    from peerkd.config.pipelines import COLLABORATE

    plan(COLLABORATE, experiment, place, measure=measure, as_json=as_json)
