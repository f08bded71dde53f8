"""Orders carried out by processes that run a script of the test in place of ``peerkd stage``."""

import json
import os
import platform
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import StageFailedError
from peerkd.launch import local_workers
from peerkd.launch.gpus import gpus_of
from peerkd.launch.local_workers import LocalWorkers
from peerkd.launch.order import StageOrder

ORDER = StageOrder(stage="pretrain_peers", config_json="{}", store="runs", inputs={}, key="pretrain_peers/a")


@pytest.fixture
def carry_out(tmp_path, monkeypatch):
    """Return a function that runs workers with a script, in which ``folder`` names a folder for their files."""

    def run(script: str, *, num_workers: int = 1, num_processes: int = 1):
        path = tmp_path / "worker.py"
        path.write_text(f"folder = {str(tmp_path)!r}\n" + textwrap.dedent(script))
        monkeypatch.setattr(StageOrder, "command", lambda order: ["python", str(path)])
        order = StageOrder(
            stage=ORDER.stage,
            config_json=ORDER.config_json,
            store=ORDER.store,
            inputs={},
            key=ORDER.key,
            num_processes=num_processes,
        )
        return LocalWorkers(ClusterConfig(num_workers=num_workers)).run(order)

    return run


TELL = """
    import json, os, pathlib
    index = os.environ["PEERKD_WORKER_INDEX"]
    names = ("PEERKD_", "PET_", "CUDA_")
    told = {name: value for name, value in os.environ.items() if name.startswith(names)}
    pathlib.Path(folder, f"told-{index}.json").write_text(json.dumps(told))
"""


def told(tmp_path):
    return [json.loads(path.read_text()) for path in sorted(tmp_path.glob("told-*.json"))]


def test_each_worker_gets_its_number_and_its_share_of_the_cores(carry_out, tmp_path, monkeypatch):
    monkeypatch.setenv("PEERKD_NUM_CORES", "5")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    (account,) = carry_out(TELL, num_workers=2)
    assert (account.num_workers, account.gpus_per_worker) == (2, 1.5)
    assert account.gpu_seconds == pytest.approx(3 * account.seconds)
    assert account.seconds > 0
    first, second = told(tmp_path)
    assert [(each["PEERKD_WORKER_INDEX"], each["PEERKD_NUM_WORKERS"]) for each in (first, second)] == [
        ("0", "2"),
        ("1", "2"),
    ]
    assert [each["PEERKD_NUM_CORES"] for each in (first, second)] == ["3", "2"]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in (first, second)] == ["0,2", "1"]
    assert first["PEERKD_RUNNER_PID"] == str(os.getpid())
    assert "PET_RDZV_ENDPOINT" not in first


@pytest.mark.parametrize(
    ("visible", "config", "expected"),
    [
        ("0,1", '{"compute": {"device": "auto"}}', 2),
        ("0,1", '{"compute": {"device": "cpu"}}', 0),
        ("0,1", "{}", 2),
        ("MIG-a", "{}", 1),
        ("", "{}", 0),
        ("-1", "{}", 0),
        ("2,-1,3", "{}", 1),
    ],
)
def test_workers_occupy_the_visible_gpus_unless_they_compute_on_the_cpu(
    visible: str, config: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert len(gpus_of(config)) == expected


@pytest.mark.parametrize(
    ("machine", "device", "expected"),
    [("arm64", "auto", 1), ("arm64", "mps", 1), ("arm64", "cpu", 0), ("x86_64", "auto", 0)],
)
def test_workers_share_the_gpu_of_an_apple_computer(
    machine: str, device: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert len(gpus_of(f'{{"compute": {{"device": "{device}"}}}}')) == expected


def test_a_single_worker_has_the_whole_machine(carry_out, tmp_path, monkeypatch):
    monkeypatch.delenv("PEERKD_NUM_CORES", raising=False)
    carry_out(TELL)
    (only,) = told(tmp_path)
    assert "PEERKD_NUM_CORES" not in only


def test_workers_that_share_a_training_get_an_address_to_meet(carry_out, tmp_path):
    carry_out(TELL, num_workers=2, num_processes=2)
    first, second = told(tmp_path)
    assert first["PET_RDZV_ENDPOINT"] == second["PET_RDZV_ENDPOINT"]
    assert first["PET_RDZV_ENDPOINT"].startswith("localhost:")


def test_the_output_of_workers_is_passed_on_with_their_numbers(carry_out, capsys):
    say = """
        import os
        print("peerkd | pretrain_peers: at", "work")
        print("noise")
    """
    carry_out(say, num_workers=2)
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "noise",
        "noise",
        "peerkd | pretrain_peers: worker 0: at work",
        "peerkd | pretrain_peers: worker 1: at work",
    ]
    carry_out(say)
    assert capsys.readouterr().out == "peerkd | pretrain_peers: at work\nnoise\n"


FAIL = """
    import os, signal, sys, time
    from peerkd.errors import StoreUnavailableError, WorkspaceBusyError
    from peerkd.launch.exit_codes import exiting_on_errors
    if os.environ["PEERKD_WORKER_INDEX"] == "0":
        time.sleep(60)
    with exiting_on_errors("pretrain_peers"):
        raise {error}
"""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("ValueError('seed must be less.')", ValueError),
        ("WorkspaceBusyError('seed must be less.')", StageFailedError),
        ("StoreUnavailableError('seed must be less.')", StageFailedError),
    ],
)
def test_the_first_failed_worker_ends_all_and_its_message_becomes_that_of_the_stage(carry_out, error, kind, capsys):
    started = time.monotonic()
    with pytest.raises(kind, match=r"^seed must be less\.$"):
        carry_out(FAIL.format(error=error), num_workers=2)
    assert time.monotonic() - started < 50
    assert capsys.readouterr().out == ""


def test_a_killed_worker_is_reported_with_its_last_lines(carry_out):
    with pytest.raises(
        StageFailedError, match=r"(?s)^Worker 0 of pretrain_peers was killed by signal 9;.*\nlast words$"
    ):
        carry_out("import os\nprint('last words', flush=True)\nos.kill(os.getpid(), 9)")


def test_a_defect_is_reported_with_its_traceback(carry_out):
    with pytest.raises(
        StageFailedError, match=r"(?s)ended with exit code 1 and without an error message;.*ZeroDivisionError"
    ):
        carry_out("1 / 0")


def test_a_worker_that_does_not_end_is_killed(carry_out, monkeypatch):
    monkeypatch.setattr(local_workers, "_GRACE_SECONDS", 0.2)
    script = """
        import os, pathlib, signal, time
        if os.environ["PEERKD_WORKER_INDEX"] == "0":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            pathlib.Path(folder, "deaf").touch()
            time.sleep(60)
        while not pathlib.Path(folder, "deaf").exists():
            time.sleep(0.05)
        raise SystemExit(3)
    """
    with pytest.raises(StageFailedError, match="Worker 1 of pretrain_peers ended with exit code 3"):
        carry_out(script, num_workers=2)


def test_workers_end_when_the_launcher_is_killed(tmp_path):
    worker = textwrap.dedent("""
        import os, pathlib, sys, time
        from peerkd.launch.exit_codes import exiting_on_errors
        with exiting_on_errors("pretrain_peers"):
            print(os.getpid(), flush=True)
            time.sleep(60)
    """)
    (tmp_path / "worker.py").write_text(worker)
    script = textwrap.dedent(f"""
        from peerkd.config.cluster import ClusterConfig
        from peerkd.launch.local_workers import LocalWorkers
        from peerkd.launch.order import StageOrder
        StageOrder.command = lambda order: ["python", {str(tmp_path / "worker.py")!r}]
        order = StageOrder(stage="pretrain_peers", config_json="", store="", inputs={{}}, key="a")
        LocalWorkers(ClusterConfig(num_workers=2)).run(order)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as launcher:
        assert launcher.stdout is not None
        workers = [int(launcher.stdout.readline()) for _ in range(2)]
        launcher.kill()
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers outlived who ordered them"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
