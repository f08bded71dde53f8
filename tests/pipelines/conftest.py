import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from peerkd.cli.main import main
from tests.debugger import no_processes
from tests.pipelines.experiments import TINY, command, run


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, testrun_uid: str
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The store and the output of a run that was not interrupted, which all processes of pytest share."""
    folder = tmp_path_factory.getbasetemp().parent / f"finished-{testrun_uid}"
    folder.mkdir(exist_ok=True)
    ended = folder / "process.pickle"
    with FileLock(folder / "lock"):
        if not ended.exists():
            ended.write_bytes(pickle.dumps(run(folder / "runs")))
    return folder / "runs", pickle.loads(ended.read_bytes())


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int | str | None]:
    """Call the command in this process, without child processes, and return the exit code."""

    def call(
        output: Path, overrides: Sequence[str] = TINY, *options: str, pipeline: str = "jointkd"
    ) -> int | str | None:
        _, _, _, *words = command(output, overrides, pipeline=pipeline)
        monkeypatch.setattr(sys, "argv", ["peerkd", *words, "--workers", "0", *options])
        with pytest.raises(SystemExit) as caught, no_processes():
            main()
        return caught.value.code

    return call
