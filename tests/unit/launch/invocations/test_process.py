import os
import shutil
import subprocess
import sys

import pytest

from peerkd.launch.invocations import process
from peerkd.launch.invocations.process import ProcessIdentity


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def identity_of(pid: int) -> ProcessIdentity:
    return ProcessIdentity.of_this_process()._replace(pid=pid, started=process._started(pid))


def test_the_identity_of_a_process_survives_json_and_ends_with_the_process(child) -> None:
    identity = ProcessIdentity.from_json(identity_of(child.pid)._asdict())
    assert identity.is_alive
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    # Its parent has not waited for the process, which has ended nevertheless.
    assert not identity.is_alive
    child.wait()
    assert not identity.is_alive
    assert not identity.terminate()


@pytest.mark.parametrize("change", [{"started": "another time"}, {"host": "another machine"}, {"started": ""}])
def test_another_process_with_the_same_id_is_left_alone(child, change: dict[str, str]) -> None:
    other = identity_of(child.pid)._replace(**change)
    assert not other.is_alive
    assert not other.terminate()
    assert child.poll() is None


@pytest.mark.parametrize("has_descriptors", [True, False])
def test_sigterm_reaches_the_process(child, has_descriptors: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_descriptors:
        monkeypatch.setattr(process, "_descriptor", lambda pid: None)
    assert identity_of(child.pid).terminate()
    assert child.wait(timeout=30) == -15


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs the program ps")
def test_without_proc_the_program_ps_tells_processes_apart(child) -> None:
    assert process._started_by_ps(child.pid) == process._started_by_ps(child.pid) != ""
    child.kill()
    child.wait()
    assert process._started_by_ps(child.pid) == ""
