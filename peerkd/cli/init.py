"""``peerkd init``: it writes an experiment to start from, with comments and the commands that plan and run it."""

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import typer

from peerkd.excerpt import plain_path
from peerkd.suggestions import check_choice

CONFIG_NAME: Final = "experiment.yaml"
README_NAME: Final = "README.md"


class Template(NamedTuple):
    """An experiment to start from."""

    title: str
    pipeline: str
    config: str
    """The name of the config in ``docs/examples``."""

    modules: tuple[str, ...] = ()
    """The names of the Python modules in ``docs/examples`` that the config names."""

    before: str = ""
    """What the user does before the commands, in Markdown. Empty if nothing has to be done."""


TEMPLATES: Final[Mapping[str, Template]] = {
    "digits": Template("Joint distillation on handwritten digits", "jointkd", "digits.yaml"),
    "hospitals": Template(
        "Joint distillation of hospitals with images of their own",
        "jointkd",
        "hospitals.yaml",
        before=(
            "Put the images of each hospital into a folder of its own, with a folder for each class:\n\n"
            "```text\nimages/hospital-a/melanoma/1.jpg\nimages/hospital-a/naevus/2.jpg\n"
            "images/hospital-b/melanoma/1.jpg\n```\n\n"
            f"`{CONFIG_NAME}` has a line for each hospital."
        ),
    ),
    "own-loss": Template(
        "Joint distillation with a loss of your own",
        "jointkd",
        "own_loss.yaml",
        modules=("my_study.py",),
        before="Change the loss and the partitioner in `my_study.py`, or use them as they are.",
    ),
    "rounds": Template("Rounds of peers on handwritten digits", "collaborate", "rounds.yaml"),
}
"""The templates, by the value of ``--for``."""


def init(folder: Path, kind: str) -> None:
    """Write a config, a README and the modules of a template into a folder, and print the commands of the README.

    Args:
        folder: A folder that does not exist yet or is empty.
        kind: The name of the template.

    Raises:
        ValueError: If there is no such template, or the folder exists and is not empty.
    """
    check_choice("for", kind, list(TEMPLATES))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"FOLDER must be a new or an empty folder, got {plain_path(folder)}.")
    template = TEMPLATES[kind]
    folder.mkdir(parents=True, exist_ok=True)
    examples = _examples()
    shutil.copyfile(examples / template.config, folder / CONFIG_NAME)
    for name in template.modules:
        shutil.copyfile(examples / name, folder / name)
    (folder / README_NAME).write_text(_readme(template), encoding="utf-8")
    typer.echo(f"Wrote {', '.join(path.name for path in sorted(folder.iterdir()))} into {folder}.")
    typer.echo(f"Read {folder / README_NAME}, or begin with:\n    cd {shlex.quote(str(folder))}")
    for command in commands_of(template)[:2]:
        typer.echo(f"    {command}")


def commands_of(template: Template) -> list[str]:
    """Return the commands that plan and run a template, and open the report, as a shell in the folder takes them."""
    # The modules of the folder must be found wherever Python is started.
    path = "PYTHONPATH=. " if template.modules else ""
    return [
        f"{path}peerkd plan {template.pipeline} --config {CONFIG_NAME}",
        f"{path}peerkd run {template.pipeline} --config {CONFIG_NAME}",
        "peerkd open latest",
    ]


def _readme(template: Template) -> str:
    plan, run, show = commands_of(template)
    parts = [
        f"# {template.title}",
        template.before,
        "Check the data and the settings, and see how long the run takes on this machine:",
        f"```sh\n{plan}\n```",
        "Run the experiment. If it is interrupted, the same command continues it:",
        f"```sh\n{run}\n```",
        "Open the report:",
        f"```sh\n{show}\n```",
        f"The comments in `{CONFIG_NAME}` say what can be changed.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _examples() -> Path:
    """Return the folder with the files of templates, which is inside an installed package, and beside it in a clone."""
    package = Path(__file__).parents[1]
    # The folder beside an installed package belongs to all packages, so another one may have put a "docs" there.
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "docs" / "examples"
