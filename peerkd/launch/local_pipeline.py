"""The execution of a compiled pipeline on this machine. Outside components and pipelines, only this module uses kfp."""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NoReturn

from kfp import components, dsl, local

from peerkd.errors import StageFailedError
from peerkd.launch.exit_codes import (
    ERROR_FILE_VARIABLE,
    EXIT_USER_ERROR,
    RUNNER_PID_VARIABLE,
    read_error_file,
    reserve_error_file,
)
from peerkd.launch.terminal import Relay
from peerkd.metrics.progress import pass_on
from peerkd.system_errors import add_path_to_errors, check_temporary_folder, translate_output

_NUM_SHOWN_LINES: Final = 40


def run_pipeline(pipeline_file: Path, arguments: Mapping[str, str]) -> str:
    """Run every task of a compiled pipeline in this environment, one after another, and pass on their progress lines.

    Returns:
        The output of the pipeline, as text.

    Raises:
        ValueError: If a task found an error that the user can fix, or temporary files cannot be written.
        StageFailedError: If a task failed for another reason.
    """
    check_temporary_folder()
    pipeline = components.load_component_from_text(_without_run(pipeline_file.read_text(encoding="utf-8")))
    # kfp keeps outputs under its own root. All results are in the store, so that root is temporary.
    with tempfile.TemporaryDirectory(prefix="peerkd-") as scratch:
        error_file = Path(scratch) / "error.json"
        reserve_error_file(error_file)
        local.init(
            runner=local.SubprocessRunner(use_venv=False),
            pipeline_root=str(Path(scratch) / "outputs"),
            raise_on_error=True,
        )
        relay = Relay(pass_on, num_kept_lines=_NUM_SHOWN_LINES)
        with _environment(error_file), contextlib.redirect_stdout(relay), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="You may be attemping", category=RuntimeWarning)
            # Settings of tasks for a cluster have no effect on this machine.
            warnings.filterwarnings(
                "ignore", message="Task .* have no effect in the current local", category=UserWarning
            )
            try:
                with add_path_to_errors(Path(scratch)):
                    return str(pipeline(**arguments).output)
            except RuntimeError as error:
                _raise_from(error_file, relay, error)


def compiled_pipeline(name: str) -> Path:
    """Return the path of a compiled pipeline. It is next to the package in a clone, and inside an installed package."""
    package = Path(__file__).parents[1]
    # The folder beside an installed package belongs to all packages, so another one may have put "pipelines" there.
    installed = package / "pipelines" / f"{name}.yaml"
    return installed if installed.is_file() else package.parent / "pipelines" / f"{name}.yaml"


def _without_run(text: str) -> str:
    """Return the YAML of a compiled pipeline, changed so that the tasks receive an empty run id.

    Otherwise kfp would create a new id in each run. Jobs are named after the id, so a command that is repeated after an
    interruption would not find the job that it created before.
    """
    return text.replace(f"constant: '{dsl.PIPELINE_JOB_ID_PLACEHOLDER}'", "constant: ''")


def _raise_from(error_file: Path, relay: Relay, error: RuntimeError) -> NoReturn:
    reported = read_error_file(error_file)
    if reported:
        message, exit_code = reported
        raise (ValueError if exit_code == EXIT_USER_ERROR else StageFailedError)(message) from error
    noise = "\n".join(relay.last_lines)
    # The failure may be one of kfp, which writes its own files before and after a stage.
    raise translate_output(noise) or StageFailedError(
        f"A stage ended without an error message; its last lines were:\n{noise}"
    ) from error


@contextlib.contextmanager
def _environment(error_file: Path) -> Iterator[None]:
    ours = {
        ERROR_FILE_VARIABLE: str(error_file),
        RUNNER_PID_VARIABLE: str(os.getpid()),
        # Progress lines must not wait in a buffer.
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
