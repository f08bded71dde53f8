"""Failures of two workers that are restarted together: one is the cause, the others follow from it."""

from collections.abc import Mapping
from typing import Any

import pytest

from peerkd.launch.kubernetes.causes import causes, first_failure
from peerkd.launch.kubernetes.kinds import TRAINJOB
from peerkd.launch.kubernetes.pods import PodFailure, failure_of
from tests.unit.launch.kubernetes.objects import condition, ended


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}Z"


def exited(worker: int, exit_code: int, *, second: int, restart: int = 0, **more: Any) -> PodFailure:
    status = ended(exit_code, at=at(second), kind=TRAINJOB)
    return failure(worker, {**status, **more}, restart=restart)


def stopped(worker: int, *, second: int, restart: int = 0) -> PodFailure:
    """Return the failure of a worker whose pod was deleted at a second, and which took another second to end."""
    status = ended(143, at=at(second + 1), kind=TRAINJOB)
    deletion = {"deletionTimestamp": at(second + 30), "deletionGracePeriodSeconds": 30}
    return failure(worker, status, restart=restart, **deletion)


def evicted(worker: int, *, second: int, ended_at: int) -> PodFailure:
    announced = condition("DisruptionTarget", at=at(second))
    return exited(worker, 143, second=ended_at, conditions=[announced])


def failure(worker: int, status: Mapping[str, Any], *, restart: int, **metadata: Any) -> PodFailure:
    labels = {TRAINJOB.index_label: str(worker), TRAINJOB.restart_label: str(restart)}
    pod = {"metadata": {"name": "pod", "uid": f"{worker}-{restart}", "labels": labels, **metadata}, "status": status}
    found = failure_of(pod, TRAINJOB)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (exited(0, 1, second=8), exited(1, 137, second=9)),
        # The evicted pod takes long to end, and the other worker notices its loss.
        (evicted(1, second=8, ended_at=30), exited(0, 1, second=9)),
        (evicted(1, second=9, ended_at=30), exited(0, 1, second=9)),
        (exited(0, 1, second=8), evicted(1, second=9, ended_at=9)),
        # The controller deletes the other pods immediately, and the clock of the failed worker may be ahead.
        (exited(0, 2, second=9), stopped(1, second=9)),
        (exited(0, 138, second=10), stopped(1, second=9)),
        # A pod that was deleted by hand ends, and then the controller deletes the others.
        (stopped(1, second=8), stopped(0, second=9)),
    ],
)
def test_the_first_failure_is_the_one_that_began_first(first: PodFailure, second: PodFailure) -> None:
    assert first_failure([first, second]) is first
    assert first_failure([second, first]) is first


def test_a_failure_that_began_at_an_unknown_time_is_the_last_one() -> None:
    unknown = failure(0, ended(1, kind=TRAINJOB), restart=0)
    known = exited(1, 1, second=59)
    assert unknown.began_at == ""
    assert first_failure([unknown, known]) is known
    assert first_failure([]) is None


def test_each_restart_of_all_workers_has_one_cause() -> None:
    failures = [
        stopped(0, second=9),
        exited(1, 138, second=9),
        exited(1, 138, second=19, restart=1),
        stopped(0, second=19, restart=1),
    ]
    found = causes(failures, are_restarted_together=True)
    assert [(each.worker, each.num_restarts_before) for each in found] == [(1, 0), (1, 1)]
    assert causes(failures, are_restarted_together=False) == failures
