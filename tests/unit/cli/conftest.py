"""The command runs in the process of the tests."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from peerkd.cli.main import main


@dataclass(frozen=True)
class Outcome:
    exit_code: int | str | None
    out: str
    err: str


@pytest.fixture
def peerkd(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """Run the command in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["peerkd", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return Outcome(caught.value.code, *capsys.readouterr())

    return run
