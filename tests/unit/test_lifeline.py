import subprocess
import sys
import time
from pathlib import Path

import pytest

from peerkd.lifeline import EXIT_ABANDONED


def test_a_process_ends_with_the_watched_process() -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    script = "import sys, time; from peerkd.lifeline import end_with; end_with(int(sys.argv[1])); time.sleep(60)"
    hanging = subprocess.Popen([sys.executable, "-c", script, str(other.pid)])
    time.sleep(1)
    assert hanging.poll() is None
    other.kill()
    other.communicate()
    assert hanging.wait(timeout=20) == EXIT_ABANDONED


def test_a_process_ends_when_the_file_of_the_other_one_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "error.json").touch()
    script = (
        "import os, sys, time; from pathlib import Path; from peerkd.lifeline import end_with; "
        "end_with(os.getppid(), file=Path(sys.argv[1])); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "error.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as hanging:
        assert hanging.stdout is not None
        hanging.stdout.readline()
        assert hanging.poll() is None
        (tmp_path / "error.json").unlink()
        assert hanging.wait(timeout=30) == EXIT_ABANDONED


def test_a_zombie_counts_as_ended() -> None:
    other = subprocess.Popen([sys.executable, "-c", "pass"])
    try:
        script = "import sys, time; from peerkd.lifeline import end_with; end_with(int(sys.argv[1])); time.sleep(60)"
        hanging = subprocess.Popen([sys.executable, "-c", script, str(other.pid)])
        # The process is not waited for, so it remains in the table of processes.
        assert hanging.wait(timeout=30) == EXIT_ABANDONED
    finally:
        other.wait()


HANDLING = """
import signal, sys, time
from pathlib import Path
from peerkd.lifeline import end_with

def stop(number, frame):
    Path(sys.argv[2]).write_text("told")
    if sys.argv[3] == "leaves":
        sys.exit(7)

signal.signal(signal.SIGTERM, stop)
end_with(int(sys.argv[1]))
while True:
    time.sleep(60)
"""


@pytest.mark.parametrize(("what", "exit_code"), [("leaves", 7), ("stays", EXIT_ABANDONED)])
def test_a_handler_of_sigterm_runs_first(tmp_path: Path, what: str, exit_code: int) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    words = [sys.executable, "-c", HANDLING, str(other.pid), str(tmp_path / "told"), what]
    hanging = subprocess.Popen(words)
    time.sleep(1)
    other.kill()
    other.communicate()
    assert hanging.wait(timeout=30) == exit_code
    assert (tmp_path / "told").read_text() == "told"
