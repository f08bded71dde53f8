"""Check peerkd's code for GPUs on the GPU of this machine: ``python -m benchmarks.gpu_check --help``.

Nothing is installed and no network is used. The summary is printed as it grows, and is kept beside the logs.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.gpu_check.interpreter import candidates, choose_interpreter, unpack_wheels
from benchmarks.gpu_check.plan import GROUPS, TOTAL_SECONDS
from benchmarks.gpu_check.steps import Runner

_ROOT: Final = Path(__file__).parents[2]
_FAILED: Final = 1
_CANNOT_RUN: Final = 2


def main(words: Sequence[str] | None = None) -> int:
    """Run the steps and return the exit status: 0 if all passed, 1 if any did not, 2 if the check cannot run here."""
    arguments = _parse(words)
    with tempfile.TemporaryDirectory(prefix="peerkd-wheels-") as site:
        paths = [str(_ROOT), site, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        try:
            if arguments.wheels:
                unpack_wheels(arguments.wheels, Path(site))
            interpreter = choose_interpreter(candidates(_ROOT), environment=environment)
        except ValueError as error:
            print(error, file=sys.stderr)
            return _CANNOT_RUN
        folder = arguments.output.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "summary.txt").open("w", encoding="utf-8") as summary:

            def say(line: str) -> None:
                for stream in (sys.stdout, summary):
                    print(line, file=stream, flush=True)

            say(str(interpreter))
            runner = Runner(
                interpreter.path,
                folder,
                root=_ROOT,
                missing=interpreter.missing,
                environment=environment,
                total_seconds=arguments.seconds,
                say=say,
            )
            outcomes = runner.run(GROUPS)
    return 0 if all(outcome.passed for outcome in outcomes) else _FAILED


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.gpu_check", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs/gpu-check"), metavar="FOLDER", help="the folder of the logs"
    )
    parser.add_argument(
        "--wheels", type=Path, metavar="FOLDER", help="a folder with wheels of packages that this Python lacks"
    )
    parser.add_argument(
        "--seconds", type=float, default=TOTAL_SECONDS, help="the time for all steps together, in seconds"
    )
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
