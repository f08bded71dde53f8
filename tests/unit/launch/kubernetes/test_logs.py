"""Logs are followed without repeating or losing a line."""

import pytest

from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.logs import LogFollowers, LogPosition
from tests.fake_kubernetes.operator import NAMESPACE, container
from tests.fake_kubernetes.server import FakeKubernetes
from tests.unit.launch.kubernetes.conftest import eventually

RUNNING = {"phase": "Running", "containerStatuses": [container({"running": {}})]}


def read(position: LogPosition, *lines: str) -> list[str]:
    return list(position.new_lines(iter(lines)))


class TestPlace:
    def test_a_stream_that_starts_again_repeats_nothing(self) -> None:
        position = LogPosition()
        first = ["2026-01-01T00:00:01.1Z a", "2026-01-01T00:00:01.2Z b"]
        assert read(position, *first) == ["a", "b"]
        assert position.since_time == "2026-01-01T00:00:01.2Z"
        assert read(position, *first, "2026-01-01T00:00:02Z c") == ["c"]

    def test_lines_of_one_moment_are_counted(self) -> None:
        position = LogPosition()
        moment = "2026-01-01T00:00:01.000000000Z"
        assert read(position, f"{moment} a", f"{moment} a") == ["a", "a"]
        assert read(position, f"{moment} a", f"{moment} a", f"{moment} a", f"{moment} b") == ["a", "b"]
        assert read(position, *[f"{moment} {text}" for text in "aaabc"]) == ["c"]

    def test_a_clock_that_goes_back_loses_nothing(self) -> None:
        position = LogPosition()
        assert read(position, "2026-01-01T00:00:05Z a", "2026-01-01T00:00:03Z b") == ["a", "b"]
        assert read(position, "2026-01-01T00:00:03Z b", "2026-01-01T00:00:03Z c") == ["c"]

    def test_times_of_another_zone_and_empty_lines_are_read(self) -> None:
        position = LogPosition()
        assert read(position, "2026-01-01T02:00:00.123456789+02:00 a", "2026-01-01T00:00:01Z ") == ["a", ""]
        assert read(position, "2026-01-01T00:00:01Z ", "2026-01-01T00:00:01Z x") == ["x"]

    def test_a_line_without_a_time_is_no_line_of_the_worker(self) -> None:
        assert read(LogPosition(), "failed to watch file: rotated") == []


@pytest.fixture
def pod(kubernetes: FakeKubernetes) -> dict:
    labels = {"training.kubeflow.org/replica-index": "3"}
    return kubernetes.store.put("pods", NAMESPACE, {"metadata": {"name": "w", "labels": labels}, "status": RUNNING})


@pytest.fixture
def taken() -> list[tuple[int, str]]:
    return []


@pytest.fixture
def followers(connection: Cluster, taken: list[tuple[int, str]]) -> LogFollowers:
    return LogFollowers(connection, PYTORCHJOB, on_line=lambda *line: taken.append(line), pause_seconds=0.02)


def test_lines_come_with_their_worker_and_a_pod_is_followed_once(
    followers: LogFollowers, kubernetes: FakeKubernetes, pod: dict, taken: list[tuple[int, str]]
) -> None:
    for _ in range(3):
        followers.update(pod)
    kubernetes.log("w", "one")
    kubernetes.log("w", "two")
    eventually(lambda: len(taken) == 2)
    assert taken == [(3, "one"), (3, "two")]
    assert followers.is_following


def test_broken_connections_neither_repeat_nor_lose_a_line(
    followers: LogFollowers, kubernetes: FakeKubernetes, pod: dict, taken: list[tuple[int, str]]
) -> None:
    followers.update(pod)
    for number in range(40):
        kubernetes.log("w", f"line {number}")
        if number % 10 == 5:
            eventually(lambda count=number + 1: len(taken) >= count)
            kubernetes.cut_streams()
    eventually(lambda: len(taken) >= 40)
    assert [line for _, line in taken] == [f"line {number}" for number in range(40)]


def test_the_last_lines_of_a_pod_that_has_ended_are_read(
    followers: LogFollowers, kubernetes: FakeKubernetes, pod: dict, taken: list[tuple[int, str]]
) -> None:
    kubernetes.fail(503, path="/log", times=2)
    followers.update(pod)
    kubernetes.log("w", "last word")
    kubernetes.end_log("w")
    followers.update({**pod, "status": {**RUNNING, "phase": "Failed"}})
    followers.finish(timeout_seconds=10)
    assert taken == [(3, "last word")]
    assert not followers.is_following


def test_the_log_of_a_pod_is_not_read_a_second_time_for_the_pod_that_had_its_name(
    followers: LogFollowers, kubernetes: FakeKubernetes, pod: dict, taken: list[tuple[int, str]]
) -> None:
    kubernetes.log("w", "old")
    followers.update(pod)
    eventually(lambda: taken == [(3, "old")])
    new_pod = {**pod, "metadata": {**pod["metadata"], "uid": "another"}}
    followers.update(new_pod)
    eventually(lambda: len(kubernetes.asked("GET", "/log")) == 2)
    # The stream of the first pod is still open, so both requests are given this line.
    kubernetes.log("w", "new")
    eventually(lambda: (3, "new") in taken)
    kubernetes.end_log("w")
    followers.update({**new_pod, "status": {**RUNNING, "phase": "Failed"}})
    followers.finish(timeout_seconds=10)
    assert taken == [(3, "old"), (3, "old"), (3, "new")]


@pytest.mark.parametrize("status", [403, 404])
def test_logs_that_may_not_be_read_are_given_up(
    followers: LogFollowers, kubernetes: FakeKubernetes, pod: dict, status: int
) -> None:
    kubernetes.fail(status, path="/log", times=float("inf"))
    followers.update(pod)
    followers.update(pod, is_gone=True)
    followers.finish(timeout_seconds=10)
    assert len(kubernetes.asked("GET", "/log")) <= 2


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_moment_in_which_logs_may_not_be_read_loses_no_line(
    followers: LogFollowers, kubernetes: FakeKubernetes, pod: dict, taken: list[tuple[int, str]], status: int
) -> None:
    fault = kubernetes.fail(status, path="/log", times=3)
    kubernetes.log("w", "first")
    followers.update(pod)
    eventually(lambda: taken == [(3, "first")])
    assert fault.num_left == 0


def test_a_pod_without_a_started_container_is_not_followed_yet(
    followers: LogFollowers, kubernetes: FakeKubernetes, pod: dict
) -> None:
    followers.update({**pod, "status": {"phase": "Pending"}})
    followers.finish(timeout_seconds=1)
    assert kubernetes.asked("GET", "/log") == []


def test_a_new_pod_of_a_worker_is_followed_from_its_beginning(
    followers: LogFollowers, kubernetes: FakeKubernetes, pod: dict, taken: list[tuple[int, str]]
) -> None:
    followers.update(pod)
    kubernetes.log("w", "first life")
    eventually(lambda: len(taken) == 1)
    followers.update({**pod, "metadata": {**pod["metadata"], "uid": "second"}})
    eventually(lambda: len(taken) == 2)
    assert taken == [(3, "first life"), (3, "first life")]
