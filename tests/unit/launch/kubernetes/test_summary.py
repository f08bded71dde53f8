"""A launcher pushes a summary of its job to a gateway that only stores it, with an API server in memory."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError, JobFailedError
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.run import KubernetesJobs
from peerkd.launch.order import StageOrder
from peerkd.metrics import summary
from tests.fake_kubernetes.operator import NAMESPACE, Operator
from tests.fake_kubernetes.server import FakeKubernetes
from tests.unit.launch.kubernetes.conftest import StartLaunch, eventually
from tests.unit.metrics.test_summary import Gateway, read


@pytest.fixture(autouse=True)
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    made = Gateway()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("PEERKD_PUSHGATEWAY", made.address)
    monkeypatch.setattr(summary, "_reported_gateways", set())
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def pushed(gateway: Gateway) -> dict[str, float]:
    """Return the numbers of the only summary that was sent, without the time of its end."""
    (request,) = gateway.requests
    assert (request.method, request.path) == ("PUT", "/metrics/job/peerkd/run/run-1/stage/distill_pairs")
    told = {name.removeprefix("peerkd_job_"): value for name, value in read(request.body).items()}
    assert told.pop("end_timestamp_seconds") > 0
    return told


def test_a_job_that_succeeds_is_pushed_once(launch: StartLaunch, operator: Operator, gateway: Gateway) -> None:
    started = launch(num_workers=2, gpus_per_worker=4, price_per_gpu_hour=3.6)
    operator.start(2)
    operator.change_job(
        {
            "metadata": {"creationTimestamp": "2025-12-31T23:59:30Z"},
            "status": {"startTime": "2026-01-01T00:00:00Z"},
        }
    )
    operator.set_condition("Succeeded", completionTime="2026-01-01T00:01:40Z")
    started.result()
    assert pushed(gateway) == {
        "success": 1,
        "queue_seconds": 30,
        "run_seconds": 100,
        "gpu_seconds": 800,
        "cost": pytest.approx(0.8),
        "attempts": 1,
        "restarts": 0,
    }


def test_nothing_is_pushed_before_the_end(launch: StartLaunch, operator: Operator, gateway: Gateway) -> None:
    started = launch()
    operator.start()
    assert gateway.requests == []
    operator.succeed()
    started.result()
    assert len(gateway.requests) == 1


def test_a_job_that_fails_is_pushed_once_without_a_cost_where_there_is_no_price(
    launch: StartLaunch, operator: Operator, gateway: Gateway
) -> None:
    started = launch()
    operator.start()
    operator.end_pod(0, 1)
    operator.fail()
    with pytest.raises(JobFailedError):
        started.result()
    told = pushed(gateway)
    assert (told["success"], told["attempts"], told["gpu_seconds"]) == (0, 1, 0)
    assert "cost" not in told


def test_an_error_that_the_user_can_fix_is_pushed_as_a_failure_too(
    launch: StartLaunch, operator: Operator, gateway: Gateway
) -> None:
    started = launch()
    operator.start()
    operator.end_pod(0, 2, message='{"message": "sweep.alphas must not be empty.", "exit_code": 2}')
    operator.fail()
    with pytest.raises(ValueError, match="must not be empty"):
        started.result()
    assert pushed(gateway)["success"] == 0


def test_a_worker_that_was_created_again_is_a_restart(
    launch: StartLaunch,
    operator: Operator,
    kubernetes: FakeKubernetes,
    gateway: Gateway,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started = launch()
    operator.start()
    operator.end_pod(0, 138)
    operator.remake_pod(0)
    kubernetes.log(operator.pod_name(0), "here again")
    # Events of pods are in order: the log of the second pod is read after the end of the first one was observed.
    eventually(lambda: "here again" in capsys.readouterr().out)
    operator.succeed()
    started.result()
    told = pushed(gateway)
    assert (told["success"], told["attempts"], told["restarts"]) == (1, 1, 1)


def test_all_attempts_are_in_one_summary(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, gateway: Gateway
) -> None:
    started = launch(gpus_per_worker=2, max_retries=1)
    operator.start()
    uid = operator.job()["metadata"]["uid"]
    operator.change_job({"status": {"startTime": "2026-01-01T00:00:00Z"}})
    operator.end_pod(0, 143)
    operator.set_condition("Failed", completionTime="2026-01-01T00:01:00Z")
    eventually(
        lambda: [job for job in kubernetes.store.list("pytorchjobs", NAMESPACE) if job["metadata"]["uid"] != uid]
    )
    operator.start()
    operator.change_job({"status": {"startTime": "2026-01-01T00:02:00Z"}})
    operator.set_condition("Succeeded", completionTime="2026-01-01T00:02:30Z")
    assert len(started.result()) == 2
    told = pushed(gateway)
    assert (told["success"], told["attempts"]) == (1, 2)
    assert (told["run_seconds"], told["gpu_seconds"]) == (90, 180)


def test_a_job_that_could_not_be_created_is_a_failure_without_an_attempt(
    launch: StartLaunch, kubernetes: FakeKubernetes, gateway: Gateway
) -> None:
    kubernetes.fail(403, method="POST", message="pytorchjobs is forbidden: no rights")
    with pytest.raises(ClusterRefusedError):
        launch(made=False).result()
    told = pushed(gateway)
    assert (told["success"], told["attempts"], told["run_seconds"]) == (0, 0, 0)


def test_an_unreachable_gateway_changes_no_result(
    launch: StartLaunch, operator: Operator, gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.status = 503
    started = launch()
    operator.start()
    operator.succeed()
    assert len(started.result()) == 1
    assert "warning: the Pushgateway" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_launcher_deletes_its_job_and_pushes_nothing(
    connection: Cluster,
    kubernetes: FakeKubernetes,
    operator: Operator,
    order: StageOrder,
    gateway: Gateway,
    number: signal.Signals,
) -> None:
    """The launcher has about a second to delete its job. It runs in this thread, which is the only one with signals."""

    def stop_once_it_waits() -> None:
        try:
            eventually(lambda: [each for each in kubernetes.asked("GET", "/pods") if each.is_watch])
            operator.start()
        finally:
            os.kill(os.getpid(), number)

    stopping = threading.Thread(target=stop_once_it_waits)
    backend = KubernetesJobs(ClusterConfig(), kind=PYTORCHJOB, run_id="run-1", connection=connection, environment={})
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        stopping.start()
        with pytest.raises((SystemExit, KeyboardInterrupt)):
            backend.run(order)
    finally:
        stopping.join()
        signal.signal(signal.SIGTERM, before)
    assert kubernetes.store.list("pytorchjobs", NAMESPACE) == []
    assert gateway.requests == []
