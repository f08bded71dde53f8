import socket
import sys

import pytest

from peerkd.errors import WorkerDiedError
from peerkd.launch.torchrun import Rendezvous, run_processes, wait_for_host
from peerkd.launch.worker import Worker

SECOND = Worker(index=1, num_workers=2)


def test_a_single_worker_has_no_rendezvous() -> None:
    assert Rendezvous.of(Worker(), {"PET_RDZV_ENDPOINT": "first:29400"}) is None


def test_workers_meet_at_the_address_of_the_environment() -> None:
    rendezvous = Rendezvous.of(SECOND, {"PET_RDZV_ENDPOINT": "job-worker-0:29400"})
    assert rendezvous == Rendezvous(host="job-worker-0", port=29400, index=1, num_workers=2)


@pytest.mark.parametrize("endpoint", ["", "job-worker-0", "job-worker-0:", ":29400"])
def test_workers_without_an_address_to_meet_get_an_error(endpoint: str) -> None:
    with pytest.raises(ValueError, match=f"^PET_RDZV_ENDPOINT must be HOST:PORT of the first worker, got '{endpoint}'"):
        Rendezvous.of(SECOND, {"PET_RDZV_ENDPOINT": endpoint})


def test_a_host_is_waited_for_until_it_can_be_resolved() -> None:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        rendezvous = Rendezvous(host="localhost", port=listener.getsockname()[1], index=1, num_workers=2)
        asked = []

        def is_over() -> bool:
            asked.append(True)
            if len(asked) == 3:
                listener.listen()
            return False

        assert wait_for_host(rendezvous, is_over=is_over, interval_seconds=0.01)
        assert len(asked) == 3


def test_a_host_is_not_waited_for_when_no_work_is_left() -> None:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        rendezvous = Rendezvous(host="localhost", port=listener.getsockname()[1], index=1, num_workers=2)
        asked = iter([False, False, True])
        assert not wait_for_host(rendezvous, is_over=lambda: next(asked), interval_seconds=0.01)


@pytest.mark.parametrize(
    ("account", "was_killed"), [("exitcode  : -9 (pid: 7)", True), ("exitcode  : 1 (pid: 7)", False)]
)
def test_an_end_by_a_signal_is_distinguished(account, was_killed, tmp_path, monkeypatch) -> None:
    """A script in place of torchrun, which prints what torchrun would print."""
    script = tmp_path / "torchrun"
    script.write_text(f"#!{sys.executable}\nimport sys\nprint({account!r})\nsys.exit(1)\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(WorkerDiedError) as caught:
        list(run_processes("module", tmp_path, num_processes=2, news_prefix="news "))
    assert caught.value.was_killed is was_killed


def test_variables_that_torchrun_reads_are_not_passed_on(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PET_NNODES", "2:2")
    script = tmp_path / "torchrun"
    script.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "print('news ' + json.dumps([[name for name in os.environ if name.startswith('PET_')], sys.argv[1:]]))\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    rendezvous = Rendezvous(host="first", port=29400, index=1, num_workers=2)
    ((left, arguments),) = run_processes(
        "module", tmp_path, num_processes=6, news_prefix="news ", rendezvous=rendezvous
    )
    assert left == []
    assert "--nproc-per-node=3" in arguments
    assert "--node-rank=1" in arguments
    ((_, alone),) = run_processes("module", tmp_path, num_processes=6, news_prefix="news ")
    assert "--nproc-per-node=6" in alone
    assert "--standalone" in alone
