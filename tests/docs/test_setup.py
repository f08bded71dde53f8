"""The set-up of the environment says what it needs, and what failed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT


def test_a_failed_set_up_ends_with_the_needed_space_and_the_free_space(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$1 $2" in "-m venv") exit 1;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    # The tests themselves may run under make, which would then print the folders that it enters.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    ended = subprocess.run(
        ["make", "setup", f"PYTHON={python}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert ended.returncode == 2
    said, failed = ended.stdout.splitlines()
    assert said.startswith("Installing the packages of requirements.lock in .venv. This takes about 6 GB")
    assert failed.startswith("The set-up of .venv failed. It needs about 6 GB of free space, got ")
    assert not (tmp_path / ".venv/ready").exists()


@pytest.mark.parametrize(("version", "folder"), [("3.11", ".venv"), ("3.13", ".venv-3.13")])
def test_another_version_of_python_has_an_environment_of_its_own(tmp_path: Path, version: str, folder: str) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for path, answer in ((tmp_path / "python", version), (tmp_path / ".venv/bin/python", "Python 3.11.7")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {answer}\n")
        path.chmod(0o755)
    (tmp_path / ".venv/ready").touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--dry-run", "test", f"PYTHON={tmp_path / 'python'}"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment).stdout
    assert f"{folder}/bin/pytest " in printed
