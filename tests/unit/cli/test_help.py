"""The help of every command, and the completions of a shell."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from peerkd.cli.main import ORDER, app, main

ROOT: Any = typer.main.get_command(app)


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command that the help shows, with its path."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        elif not command.hidden:
            yield (*path, name), command


COMMANDS = {" ".join(path): command for path, command in commands(ROOT)}


def test_the_help_lists_the_commands_in_the_order_in_which_they_are_needed() -> None:
    shown = [name for name in ROOT.list_commands(None) if not ROOT.commands[name].hidden]
    assert shown == [name for name in ORDER if name in shown]


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_of_a_command_has_an_example_that_it_accepts(path: str) -> None:
    examples = [line.strip() for line in COMMANDS[path].help.splitlines() if "Example:" in line]
    assert examples, f"The help of {path} must have an example."
    for example in examples:
        words = shlex.split(example.removeprefix("Example:"))
        words = words[: words.index(">")] if ">" in words else words
        assert words[: 1 + len(path.split())] == ["peerkd", *path.split()]
        # Parsing alone: nothing is called.
        COMMANDS[path].make_context(path, words[1 + len(path.split()) :])


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("path", ["", "run jointkd", "runs"])
def test_the_help_fits_narrow_terminals(peerkd, monkeypatch: pytest.MonkeyPatch, columns: int, path: str) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = peerkd(*path.split(), "--help").out.splitlines()
    assert max(map(len, lines)) <= columns
    assert [line for line in lines[1:] if line.endswith("...")] == []


def completed(*words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what bash is given for the last word of a command line."""
    monkeypatch.setenv("_PEERKD_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(["peerkd", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    monkeypatch.setattr(sys, "argv", ["peerkd"])
    with pytest.raises(SystemExit):
        app(prog_name="peerkd")
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("ru",), ["run", "runs"]),
        (("run", "c"), ["collaborate"]),
        (("run", "jointkd", "--pres"), ["--preset"]),
        (("run", "pcl", "--preset", "digits_"), ["digits_ablation"]),
        (("run", "jointkd", "--set", "sweep.alp"), ["sweep.alphas="]),
        (("run", "jointkd", "--set", "distill.loss.kind=rev"), ["distill.loss.kind=reverse_kl"]),
        (
            ("run", "jointkd", "--set", "sweep.data_stays_home="),
            [f"sweep.data_stays_home={x}" for x in ("true", "false")],
        ),
        (("run", "jointkd", "--set", "seed="), []),
        (("config", "show", "--pipeline", "j"), ["jointkd"]),
        (("run", "jointkd", "--strategy", "t"), ["tune"]),
        # A folder that does not exist has no runs, and that is no error while a person types.
        (("show", "--output", "nowhere", "l"), []),
        # A command line that is refused when it is complete.
        (("run", "jointkd", "--preset", "digits", "--preset", "d"), ["digits"]),
    ],
)
def test_a_shell_completes(
    words: tuple[str, ...],
    found: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert completed(*words, monkeypatch=monkeypatch, capsys=capsys) == found


@pytest.mark.parametrize(
    ("words", "cursor", "found"),
    [
        ("peerkd run jointkd --set distill.loss.kind =", 5, ["kl", "reverse_kl"]),
        ("peerkd run jointkd --set distill.loss.kind = rev", 6, ["reverse_kl"]),
        ("peerkd run jointkd --set seed = 3 --set sweep.alp", 8, ["sweep.alphas="]),
        ("peerkd run jointkd --set seed = 3 --pres", 7, ["--preset"]),
        ("peerkd ru", 1, ["run", "runs"]),
        ("peerkd run ", 2, ["jointkd", "pcl", "collaborate"]),
    ],
)
def test_bash_completes_words_that_it_splits(
    words: str, cursor: int, found: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"_PEERKD_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(cursor)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["peerkd"])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr().out.split()
    assert [each for each in shown if each in found] == found
    assert all("=" not in each.rstrip("=") for each in shown)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_a_shell_is_a_script_that_it_accepts(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_PEERKD_COMPLETE", f"source_{shell}")
    with pytest.raises(SystemExit):
        app(prog_name="peerkd")
    script = capsys.readouterr().out
    assert f"complete_{shell}" in script
    assert "peerkd" in script
    if shutil.which(shell):
        # The option -n reads a script without running it, in all three shells.
        subprocess.run([shell, "-n"], input=script, text=True, check=True, capture_output=True)
