"""The edge of a stage, where it meets whoever runs it: errors become one sentence and an exit code."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peerkd.errors import DataSourceError, PeerKDError
from peerkd.lifeline import end_with
from peerkd.metrics.progress import say

ERROR_FILE_VARIABLE = "PEERKD_ERROR_FILE"
"""Names a file that takes the error, because pipelines pass on no more of a step than that it failed."""

RUNNER_PID_VARIABLE = "PEERKD_RUNNER_PID"
"""Process on this machine that runs the pipeline; when it is gone, so is the stage."""

EXIT_USER_ERROR = 2
EXIT_FAILURE = 1


@contextmanager
def stage_edge(stage: str) -> Iterator[None]:
    """Run a stage's body: what a user can fix ends with exit code 2, what failed outside with 1, each in one sentence.

    Any other exception is a defect of this program and passes with its traceback.
    """
    runner = os.environ.get(RUNNER_PID_VARIABLE)
    if runner:
        end_with(int(runner))
    try:
        yield
    except (ValueError, DataSourceError) as error:
        _leave(stage, str(error), EXIT_USER_ERROR)
    except PeerKDError as error:
        _leave(stage, str(error), EXIT_FAILURE)


def _leave(stage: str, message: str, exit_code: int) -> None:
    error_file = os.environ.get(ERROR_FILE_VARIABLE)
    if error_file:
        Path(error_file).write_text(json.dumps({"message": message, "exit_code": exit_code}), encoding="utf-8")
    else:
        say(stage, f"error: {message}")
    raise SystemExit(exit_code)
