"""The command ``peerkd``. Heavy modules are imported only by the commands that need them, so ``--help`` is fast."""

import os
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from peerkd.cli.command import StrictTyper
from peerkd.cli.commands.clusters import cluster_app
from peerkd.cli.commands.experiments import config_app, init_app, plan_app, run_app
from peerkd.cli.commands.results import results_app
from peerkd.cli.completion import completing_for_bash
from peerkd.cli.exit_codes import check_arguments, exiting_on_errors
from peerkd.cli.store import store_app
from peerkd.version import __version__

ORDER: Final = (
    "doctor",
    "init",
    "config",
    "plan",
    "run",
    "watch",
    "stop",
    "runs",
    "show",
    "note",
    "open",
    "compare",
    "logs",
    "export",
    "clean",
    "submit",
    "store",
    "reap",
)
"""The commands in the order in which the user needs them, which is their order in the help."""


class _OrderedGroup(TyperGroup):
    """The group of all commands, which lists them in the order of ``ORDER``."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = StrictTyper(
    name="peerkd",
    help="Run distillation experiments between peers: the same pipelines on a laptop and on Kubeflow.",
    cls=_OrderedGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(init_app)
app.add_typer(config_app, name="config")
app.add_typer(plan_app, name="plan")
app.add_typer(run_app, name="run")
app.add_typer(results_app)
app.add_typer(cluster_app)
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


def main() -> None:
    """Run the command line. Exit codes: 0 success, 1 failure, 2 an error that the user can fix, 130 interrupted."""
    # The matrices are small, so threads of several processes on one machine would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with exiting_on_errors(), completing_for_bash(os.environ):
        check_arguments(sys.argv[1:])
        sys.exit(app(standalone_mode=False) or 0)
