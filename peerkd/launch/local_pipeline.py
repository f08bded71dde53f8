"""Running a compiled pipeline on this machine. The one place that knows kfp outside components and pipelines."""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NoReturn

from kfp import components, dsl, local

from peerkd.errors import StageFailedError
from peerkd.launch.edge import (
    ERROR_FILE_VARIABLE,
    EXIT_USER_ERROR,
    RUNNER_PID_VARIABLE,
    read_error_file,
    reserve_error_file,
)
from peerkd.launch.terminal import Relay
from peerkd.system_errors import check_temporary_folder, naming_place, translate_output

_NUM_SHOWN_LINES: Final = 40


def run_pipeline(pipeline_file: Path, arguments: Mapping[str, str]) -> str:
    """Run every task of a compiled pipeline in this environment, one after another, and relay what they say.

    Returns:
        The pipeline's output.

    Raises:
        ValueError: If a task found an error that the user can fix, or temporary files cannot be written.
        StageFailedError: If a task failed otherwise.
    """
    check_temporary_folder()
    pipeline = components.load_component_from_text(_without_run(pipeline_file.read_text(encoding="utf-8")))
    # kfp keeps outputs under a root of its own; what lasts is in the store, so that root is thrown away.
    with tempfile.TemporaryDirectory(prefix="peerkd-") as scratch:
        error_file = Path(scratch) / "error.json"
        reserve_error_file(error_file)
        local.init(
            runner=local.SubprocessRunner(use_venv=False),
            pipeline_root=str(Path(scratch) / "outputs"),
            raise_on_error=True,
        )
        relay = Relay(sys.stdout, num_kept_lines=_NUM_SHOWN_LINES)
        with _environment(error_file), contextlib.redirect_stdout(relay), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="You may be attemping", category=RuntimeWarning)
            # What a task asks of a cluster is asked of no laptop.
            warnings.filterwarnings(
                "ignore", message="Task .* have no effect in the current local", category=UserWarning
            )
            try:
                with naming_place(Path(scratch)):
                    return str(pipeline(**arguments).output)
            except RuntimeError as error:
                _raise_from(error_file, relay, error)


def _without_run(text: str) -> str:
    """Return a compiled pipeline whose tasks get no run id.

    kfp would make up another one every time, and a job that is named by it would not be found by the same command
    given again.
    """
    return text.replace(f"constant: '{dsl.PIPELINE_JOB_ID_PLACEHOLDER}'", "constant: ''")


def _raise_from(error_file: Path, relay: Relay, error: RuntimeError) -> NoReturn:
    told = read_error_file(error_file)
    if told:
        message, exit_code = told
        raise (ValueError if exit_code == EXIT_USER_ERROR else StageFailedError)(message) from error
    noise = "\n".join(relay.last_lines)
    # kfp writes files of its own around a stage.
    raise translate_output(noise) or StageFailedError(
        f"A stage ended without saying why; its last lines were:\n{noise}"
    ) from error


@contextlib.contextmanager
def _environment(error_file: Path) -> Iterator[None]:
    ours = {
        ERROR_FILE_VARIABLE: str(error_file),
        RUNNER_PID_VARIABLE: str(os.getpid()),
        # Progress must not wait in a buffer.
        "PYTHONUNBUFFERED": "1",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
