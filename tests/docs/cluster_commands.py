"""Checks of shown commands that need a cluster: their options are parsed without one, and their manifests are built."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from kfp.cli.utils.parsing import parse_parameter_value
from typer.testing import CliRunner

from peerkd.cli.main import app
from peerkd.launch.package import read_arguments, read_package
from tests.docs.pages import ROOT


def check_kubectl(arguments: Sequence[str]) -> None:
    """Run kubectl against a server that does not exist. A valid command fails for this reason and no other."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl here")
    if "-k" in arguments:
        folder = ROOT / arguments[arguments.index("-k") + 1]
        assert (folder / "kustomization.yaml").is_file()
        if "third-party" in folder.parts:
            return
    ended = subprocess.run(
        [kubectl, *arguments, "--server=http://127.0.0.1:1", "--request-timeout=5s"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "refused" in ended.stderr, ended.stderr


def check_kfp(file: str, arguments: Sequence[str]) -> None:
    """Check the arguments as kfp would send them. The tests of ``peerkd submit`` check that it does."""
    package = read_package(ROOT / file)
    for argument in arguments:
        name, _, text = argument.partition("=")
        value = parse_parameter_value(text)
        assert isinstance(value, str), f"{argument} must be quoted once more, since it arrives as {value!r}"
        read_arguments(package, [f"{name}={value}"])


def check_peerkd(arguments: Sequence[str]) -> None:
    """Let peerkd parse the options and print its help instead of sending a request."""
    files = [word for word in arguments if word.endswith(".yaml")]
    assert [file for file in files if not Path(ROOT, file).is_file()] == []
    ended = CliRunner().invoke(app, [*arguments, "--help"])
    assert ended.exit_code == 0, ended.output
