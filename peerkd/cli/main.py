"""The command ``peerkd``. Heavy imports wait until a command needs them, so that ``--help`` is at once."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="peerkd",
    help="Peer distillation experiments: the same pipelines on a laptop and on Kubeflow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
run_app = typer.Typer(help="Run a pipeline on this machine.", no_args_is_help=True, rich_markup_mode=None)
config_app = typer.Typer(help="Look at experiment configs.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(run_app, name="run")
app.add_typer(config_app, name="config")

PipelineName = Annotated[str, typer.Option("--pipeline", metavar="NAME", help="jointkd or pcl.")]
Preset = Annotated[str, typer.Option(help="Named experiment to start from; see 'peerkd config presets'.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML or JSON file, in place of a preset.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any field, as in seed=3. Repeatable.")
]
Output = Annotated[Path, typer.Option(help="Folder of the artifact store.")]


@run_app.command("jointkd")
def run_jointkd(
    preset: Preset = "digits",
    config: ConfigFile = None,
    override: Overrides = None,
    output: Output = Path("runs"),
) -> None:
    """Joint distillation: divide the data, train the peers, let every pair distil, report."""
    from peerkd.cli.run import run
    from peerkd.config.pipelines import JOINTKD

    run(JOINTKD, preset=preset, config_file=config, overrides=override or [], output=output)


@run_app.command("pcl")
def run_pcl(
    preset: Preset = "digits",
    config: ConfigFile = None,
    override: Overrides = None,
    output: Output = Path("runs"),
) -> None:
    """Peer collaborative learning: split the data, train networks by every method, compare the methods."""
    from peerkd.cli.run import run
    from peerkd.config.pipelines import PCL

    run(PCL, preset=preset, config_file=config, overrides=override or [], output=output)


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
def config_show(
    pipeline: PipelineName = "jointkd",
    preset: Preset = "digits",
    config: ConfigFile = None,
    override: Overrides = None,
) -> None:
    """Print a whole experiment as YAML, every default written out: a file for --config."""
    from peerkd.config.pipelines import find_pipeline
    from peerkd.config.resolve import load, to_yaml

    experiment = load(find_pipeline(pipeline), preset=preset, config_file=config, overrides=override or [])
    typer.echo(to_yaml(experiment), nl=False)


@config_app.command("schema")
def config_schema(pipeline: PipelineName = "jointkd") -> None:
    """Print the JSON schema of an experiment."""
    import json

    from peerkd.config.pipelines import find_pipeline

    typer.echo(json.dumps(find_pipeline(pipeline).config.model_json_schema(), indent=2))


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 something the user can fix, 130 interrupted."""
    from peerkd.errors import DataSourceError, PeerKDError

    try:
        app()
    except (ValueError, PeerKDError) as error:
        sys.stderr.write(f"peerkd: {error}\n")
        sys.exit(2 if isinstance(error, (ValueError, DataSourceError)) else 1)
    except SystemExit as leaving:
        # Typer has made this code of a KeyboardInterrupt by now, and said nothing.
        if leaving.code == 130:
            sys.stderr.write("peerkd: interrupted; run the same command again to go on.\n")
        raise
