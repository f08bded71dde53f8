import subprocess
import sys
import time

from peerkd.lifeline import EXIT_ABANDONED


def test_a_process_ends_with_the_one_it_hangs_on() -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    script = "import sys, time; from peerkd.lifeline import end_with; end_with(int(sys.argv[1])); time.sleep(60)"
    hanging = subprocess.Popen([sys.executable, "-c", script, str(other.pid)])
    time.sleep(1)
    assert hanging.poll() is None
    other.kill()
    other.communicate()
    assert hanging.wait(timeout=20) == EXIT_ABANDONED


def test_a_dead_process_that_nobody_has_taken_note_of_is_dead() -> None:
    other = subprocess.Popen([sys.executable, "-c", "pass"])
    try:
        script = "import sys, time; from peerkd.lifeline import end_with; end_with(int(sys.argv[1])); time.sleep(60)"
        hanging = subprocess.Popen([sys.executable, "-c", script, str(other.pid)])
        # Not waited for: it stays in the table of processes.
        assert hanging.wait(timeout=30) == EXIT_ABANDONED
    finally:
        other.wait()
