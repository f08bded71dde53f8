"""The launcher while an API server in memory is unreachable, forgets its history, or refuses requests."""

import time

import pytest

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from tests.fake_kubernetes.operator import Operator, waiting
from tests.fake_kubernetes.server import FakeKubernetes
from tests.unit.launch.kubernetes.conftest import StartLaunch, eventually


def test_an_expired_version_leads_to_a_new_list(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch()
    operator.start()
    eventually(lambda: [each for each in kubernetes.asked("GET", "pytorchjobs") if each.is_watch])
    num_lists = len([each for each in kubernetes.asked("GET", "pytorchjobs") if not each.is_watch])
    kubernetes.store.forget_the_past()
    eventually(lambda: len([each for each in kubernetes.asked("GET", "pytorchjobs") if not each.is_watch]) > num_lists)
    operator.succeed()
    started.result()


@pytest.mark.parametrize("status", [None, 408, 425, 429, 500, 501, 503, 504, 520])
def test_a_short_outage_is_survived(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, status: int | None
) -> None:
    fault = kubernetes.fail(status, times=6)
    started = launch()
    operator.start()
    eventually(lambda: fault.num_left == 0)
    operator.succeed()
    started.result()


@pytest.mark.parametrize("page", ["<html>Log in</html>", "[]", '{"status": "ok"}', '{"items": 1}', '{"items": []}', ""])
def test_an_answer_of_another_server_is_waited_out(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, page: str
) -> None:
    started = launch()
    operator.start()
    eventually(lambda: [each for each in kubernetes.asked("GET", "pytorchjobs") if each.is_watch])
    fault = kubernetes.fail(200, method="GET", path="/pytorchjobs", page=page, times=3)
    kubernetes.store.forget_the_past()
    kubernetes.cut_streams()
    eventually(lambda: fault.num_left == 0)
    operator.succeed()
    started.result()


def test_streams_that_break_in_the_middle_are_taken_up_again(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch()
    operator.start()
    for num_watches in (1, 2, 3):
        eventually(
            lambda num=num_watches: (
                len([each for each in kubernetes.asked("GET", "pytorchjobs") if each.is_watch]) >= num
            )
        )
        kubernetes.cut_streams()
    operator.succeed()
    started.result()


def test_an_end_during_an_outage_is_noticed_after_it(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    started = launch()
    operator.start()
    eventually(lambda: [each for each in kubernetes.asked("GET", "pods") if each.is_watch])
    kubernetes.stop()
    operator.succeed()
    said: list[str] = []
    eventually(lambda: said.append(capsys.readouterr().out) or "waiting for the cluster's API" in "".join(said))
    kubernetes.start()
    started.result()
    assert "the cluster's API is available again" in "".join(said) + capsys.readouterr().out


def test_the_state_before_an_outage_is_no_reason_to_give_up(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    started = launch(deadline_seconds=0.3, start_seconds=1.5)
    operator.set_condition("Created")
    operator.make_pod(0, **waiting("ErrImagePull"))
    said: list[str] = []
    eventually(lambda: said.append(capsys.readouterr().out) or "cannot start yet" in "".join(said))
    kubernetes.stop()
    operator.run_pod()
    operator.succeed()
    eventually(lambda: said.append(capsys.readouterr().out) or "waiting for the cluster's API" in "".join(said))
    time.sleep(0.7)
    kubernetes.start()
    started.result()


def test_a_launcher_gives_up_after_too_long_an_outage(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch(patience_seconds=1.0)
    operator.start()
    kubernetes.stop()
    with pytest.raises(ClusterUnavailableError, match=r"cannot be reached: .*; this has lasted for \d+ s"):
        started.result()


def test_a_refusal_is_reported_immediately(launch: StartLaunch, kubernetes: FakeKubernetes) -> None:
    kubernetes.fail(403, method="POST", message="pytorchjobs is forbidden: no rights")
    with pytest.raises(ClusterRefusedError, match="no rights") as raised:
        launch(made=False).result()
    assert raised.value.status == 403


@pytest.mark.parametrize("status", [302, 401, 403, 404])
def test_a_refusal_by_a_server_that_has_just_started_is_retried(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, status: int
) -> None:
    started = launch()
    operator.start()
    eventually(lambda: [each for each in kubernetes.asked("GET", "pytorchjobs") if each.is_watch])
    fault = kubernetes.fail(status, method="GET", times=3)
    kubernetes.cut_streams()
    eventually(lambda: fault.num_left == 0)
    operator.succeed()
    started.result()
