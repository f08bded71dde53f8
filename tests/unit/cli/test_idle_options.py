"""Every option of every command, with the situations in which it does nothing and is refused.

A new option has to be listed here, so that somebody thinks about where it does nothing.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from peerkd.cli.idle_options import IDLE
from tests.unit.cli.test_help import COMMANDS

EXPERIMENT = ("--preset", "--config", "--set")
STORE = ("--output", "--store")
DRY = ("--backend", "kubernetes", "--store", "s3://bucket/runs", "--dry-run")
UUID = "49d40c90-76c3-4005-b2b5-6eb340c3ce34"

ALWAYS_USED = {
    "init": ("--for",),
    "config presets": ("--pipeline", "--json"),
    "config show": (*EXPERIMENT, "--pipeline", "--one-line"),
    "config schema": ("--pipeline",),
    "plan jointkd": (*EXPERIMENT, *STORE, "--strategy", "--measure", "--json"),
    "plan pcl": (*EXPERIMENT, "--measure", "--json"),
    "plan collaborate": (*EXPERIMENT, *STORE, "--measure", "--json"),
    # That --gpus and --cluster have no effect on this machine is a rule of the launch description.
    **dict.fromkeys(
        ("run pcl", "run collaborate"),
        (*EXPERIMENT, "--workers", "--gpus", "--cluster", "--store", "--backend", "--dry-run"),
    ),
    "run jointkd": (
        *(*EXPERIMENT, "--workers", "--gpus", "--cluster", "--store", "--backend", "--dry-run"),
        "--strategy",
    ),
    "watch": ("--timeout",),
    "stop": (),
    "logs": ("--output", "--follow", "--tail", "--json"),
    "runs": (*STORE, "--state", "--pipeline", "--limit", "--json"),
    "show": (*STORE, "--json"),
    "open": STORE,
    "note": (*STORE, "--delete"),
    "compare": (*STORE, "--json", "--csv", "--html"),
    "export": (*STORE, "--student", "--to", "--format", "--teacher", "--setting", "--study", "--json"),
    "clean": (*STORE, "--unfinished", "--yes", "--json"),
    "submit": (
        *("--endpoint", "--token", "--namespace", "--experiment", "--name", "--service-account", "--image"),
        *("--claim", "--no-cache", "--watch"),
    ),
    "doctor": ("--workers", "--gpus", "--cluster", "--store", *EXPERIMENT, "--namespace", "--json"),
    "reap": ("--namespace", "--port"),
    "store check": ("--store", "--json"),
    "store set-aside": ("--store",),
    "store clear": ("--store",),
}
"""The options that do something in every situation that the command line alone shows."""

RUNS = ("run jointkd", "run pcl", "run collaborate")
REFUSED: Sequence[tuple[str, Sequence[str], str, str]] = [
    *((run, DRY, option, "with --dry-run") for run in RUNS for option in ("--output x", "-v", "-q", "--json")),
    ("watch", ["latest"], "--endpoint http://x", "for a run of this machine"),
    ("watch", ["latest"], "--token x", "for a run of this machine"),
    ("watch", ["latest"], "--token-file x", "for a run of this machine"),
    ("watch", ["latest"], "--patience 5", "for a run of this machine"),
    ("watch", [UUID], "--output x", "for a run on Kubeflow Pipelines"),
    ("watch", [UUID], "--page", "for a run on Kubeflow Pipelines"),
    ("watch", ["latest"], "--port 8000", "without --page"),
    ("watch", [UUID, "--token", "x"], "--token-file x", "together with --token"),
    ("stop", ["latest"], "--endpoint http://x", "for a run of this machine"),
    ("stop", ["latest"], "--token x", "for a run of this machine"),
    ("stop", ["latest"], "--token-file x", "for a run of this machine"),
    ("stop", [UUID], "--output x", "for a run on Kubeflow Pipelines"),
    ("stop", [UUID], "--store x", "for a run on Kubeflow Pipelines"),
    ("stop", [UUID], "--namespace x", "for a run on Kubeflow Pipelines"),
    ("stop", [UUID, "--token", "x"], "--token-file x", "together with --token"),
    ("submit", ["x.yaml"], "--timeout 5", "without --watch"),
    ("submit", ["x.yaml"], "--patience 5", "without --watch"),
    ("submit", ["x.yaml"], "--retry 2", "without --watch"),
    ("submit", ["x.yaml", "--token", "x"], "--token-file x", "together with --token"),
    ("doctor", ["--preset", "digits"], "--service-account x", "when this machine is checked"),
    ("doctor", [], "--service-account x", "when this machine is checked"),
    ("doctor", ["--namespace", "x"], "--output x", "when a cluster is checked"),
    ("doctor", ["--workers", "2"], "--pipeline pcl", "when a cluster is checked"),
    ("export", ["runs", "--student", "0", "--to", "x.safetensors", "--teacher", "1"], "--best", "together with"),
    ("export", ["runs", "--student", "0", "--to", "x.safetensors", "--setting", "a=1"], "--best", "together with"),
]


def idle(command: str) -> set[str]:
    return {option for each in IDLE.get(command, ()) for option in each.options}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_used_everywhere_or_has_its_situations(command: str) -> None:
    options = {parameter.opts[0] for parameter in COMMANDS[command].params if parameter.opts[0].startswith("-")}
    assert options == {*ALWAYS_USED[command], *idle(command)}
    assert not idle(command) & {*ALWAYS_USED[command]}


@pytest.mark.parametrize(("command", "situation", "given", "reason"), REFUSED)
def test_an_option_that_does_nothing_is_refused(
    peerkd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command, situation, given, reason
) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    outcome = peerkd(*command.split(), *situation, *given.split())
    option = {"-v": "--verbose", "-q": "--quiet"}.get(given, given.split()[0])
    assert outcome.exit_code == 2
    assert outcome.err.startswith(f"peerkd: {option} must not be given {reason}")
    assert outcome.out == ""


def test_every_situation_is_tried() -> None:
    tried = {
        (command, {"-v": "--verbose", "-q": "--quiet"}.get(given, given.split()[0])) for command, _, given, _ in REFUSED
    }
    assert tried == {(command, option) for command in IDLE for option in idle(command)}


def test_the_environment_is_not_a_command_line(peerkd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KFP_ENDPOINT", "http://localhost:1")
    (tmp_path / "runs").mkdir()
    outcome = peerkd("watch", "latest")
    assert "must not be given" not in outcome.err
