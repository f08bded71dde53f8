"""Waiting for runs, against a real HTTP server on this machine that answers as a real one of Kubeflow did."""

import re
from typing import Any

import pytest

from peerkd.launch.runs.api import Token
from peerkd.launch.runs.server import PipelineServer
from peerkd.launch.runs.watch import CANCELED, FAILED, SUCCEEDED, UNFINISHED, UNWATCHED, Ending, watch
from tests.kfp_server import ANSWERS, CUT, LOGIN_PAGE, RUN_ID, PipelineApi, recorded
from tests.unit.launch.runs.conftest import Time

RUNNING, DONE = {"state": "RUNNING"}, {"state": "SUCCEEDED"}


def wait(server: PipelineServer, time: Time, *, told: list[str] | None = None, **more: Any) -> Ending:
    notify = [].append if told is None else told.append
    return watch(server, RUN_ID, notify=notify, clock=time.clock, sleep=time.sleep, **more)


def page(api: PipelineApi) -> str:
    return f"{api.endpoint}/#/runs/details/{RUN_ID}"


@pytest.mark.parametrize(
    ("states", "outcome"),
    [
        (["PENDING", "RUNNING", "SUCCEEDED"], SUCCEEDED),
        (["RUNNING", "FAILED"], FAILED),
        (["ERROR"], FAILED),
        (["RUNNING", "CANCELED"], CANCELED),
        # A standard server does this with a run that was terminated.
        (["RUNNING", "CANCELING", "FAILED"], CANCELED),
        # It has no result.
        (["SKIPPED"], CANCELED),
        (["RUNNING", "PAUSED", "RUNNING", "SUCCEEDED"], SUCCEEDED),
        ([None, "RUNNING", "SUCCEEDED"], SUCCEEDED),
    ],
)
def test_every_end_is_an_end(
    api: PipelineApi, server: PipelineServer, time: Time, states: list[str | None], outcome: str
) -> None:
    api.answers = [{"state": state} for state in states]
    told: list[str] = []
    assert wait(server, time, told=told).outcome == outcome
    assert told == [state or "PENDING" for state in states]


def test_an_unknown_state_is_reported_once_and_waited_out(api: PipelineApi, server: PipelineServer, time: Time) -> None:
    api.answers = [{"state": "RUNTIME_STATE_UNSPECIFIED"}, {"state": "RETRYING"}, {"state": "RETRYING"}, DONE]
    told: list[str] = []
    assert wait(server, time, told=told).outcome == SUCCEEDED
    assert told == ["PENDING", "RETRYING, an unknown state; still waiting", "SUCCEEDED"]


def test_requests_become_less_frequent_while_nothing_changes(
    api: PipelineApi, server: PipelineServer, time: Time
) -> None:
    api.answers = [*[RUNNING] * 8, DONE]
    told: list[str] = []
    wait(server, time, told=told)
    assert time.pauses == [2.0, 3.0, 4.5, 6.75, 10.125, 15.0, 15.0, 15.0]
    assert told == ["RUNNING", "SUCCEEDED"]


@pytest.mark.parametrize(
    "answer",
    [408, 425, 429, 500, 502, 503, 504, 520, CUT, LOGIN_PAGE, (502, LOGIN_PAGE), "[]", "{}", "", 401, 403, 404, 302],
)
def test_failures_that_may_pass_are_waited_out_and_reported_once(
    api: PipelineApi, server: PipelineServer, time: Time, answer: Any
) -> None:
    api.answers = [RUNNING, answer, answer, DONE]
    told: list[str] = []
    assert wait(server, time, told=told).outcome == SUCCEEDED
    assert [text.partition(" (")[0] for text in told] == [
        "RUNNING",
        "waiting for the server while the run continues",
        "the server is back",
        "SUCCEEDED",
    ]


def test_a_run_that_is_not_found_at_first_is_waited_for(api: PipelineApi, server: PipelineServer, time: Time) -> None:
    api.answers = [404, 404, RUNNING, DONE]
    assert wait(server, time).outcome == SUCCEEDED


@pytest.mark.parametrize(
    ("answer", "seconds", "why"),
    [
        (503, 600, r"cannot answer now: not now \(status 503\); this has lasted for 60\d s"),
        (CUT, 600, r"No Kubeflow Pipelines server answers at http://127.0.0.1:\d+: .*; this has lasted for 60\d s"),
        (401, 45, r"refused: not now \(status 401\)\. The token is missing, has expired or may not do this"),
    ],
)
def test_failures_that_do_not_pass_end_the_watch_and_not_the_run(
    api: PipelineApi, server: PipelineServer, time: Time, answer: Any, seconds: float, why: str
) -> None:
    api.answers = [RUNNING, answer]
    ending = wait(server, time)
    assert ending.outcome == UNWATCHED
    assert ending.message.startswith(f"No longer watching the run {RUN_ID}: ")
    assert "failed" not in ending.message
    assert re.search(why, ending.message)
    assert ending.message.endswith(
        f". The run continues: watch it again with `peerkd watch {RUN_ID} --endpoint {api.endpoint}`, "
        f"or look at {page(api)}"
    )
    assert seconds <= time.now < seconds + 15


def test_a_deleted_run_is_reported_as_deleted(api: PipelineApi, server: PipelineServer, time: Time) -> None:
    api.answers = [RUNNING, 404]
    ending = wait(server, time)
    assert ending.outcome == UNWATCHED
    assert ending.message.endswith(f"(status 404). It may have been deleted; its page would be {page(api)}")


def test_the_first_refusal_of_a_run_that_was_never_seen_is_final(
    api: PipelineApi, server: PipelineServer, time: Time
) -> None:
    api.answers = [404]
    ending = wait(server, time, is_known_run=False)
    assert (ending.outcome, time.now) == (UNWATCHED, 0)
    assert "Its id or the endpoint may be wrong" in ending.message


def test_refused_users_are_retried_after_a_long_outage(api: PipelineApi, server: PipelineServer, time: Time) -> None:
    # Fifteen failures of 4 to 8 seconds each take longer than the time limit of a refusal.
    api.answers = [RUNNING, *[503] * 15, 401, 401, DONE]
    assert wait(server, time).outcome == SUCCEEDED


def test_a_token_that_is_renewed_in_its_file_continues_the_watch(api: PipelineApi, time: Time, tmp_path: Any) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    api.valid_token = "new"
    api.answers = [DONE]
    server = PipelineServer(api.endpoint, token=Token(file=file), sleep=time.sleep)

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if time.now > 20:
            file.write_text("new\n")

    ending = watch(server, RUN_ID, notify=lambda _: None, clock=time.clock, sleep=sleep)
    assert ending.outcome == SUCCEEDED


def test_a_run_that_exceeds_the_timeout_continues(api: PipelineApi, server: PipelineServer, time: Time) -> None:
    for answer in (RUNNING, 503):
        api.answers = [answer]
        ending = wait(server, time, timeout_seconds=60)
        assert ending.outcome == UNFINISHED
        assert ending.message.startswith(
            f"The run {RUN_ID} has not ended after 60 s and continues: watch it again with `peerkd watch {RUN_ID} "
        )


def test_a_failed_step_is_reported_with_its_error_and_page(
    api: PipelineApi, server: PipelineServer, time: Time
) -> None:
    api.answers = [recorded("failed-in-a-step")]
    api.logs["jointkd-x87cx-system-container-impl-2859024191"] = (ANSWERS / "failed-in-a-step.log").read_text()
    assert wait(server, time) == Ending(
        FAILED,
        f"The run {RUN_ID} failed in partition-data: The store http://minio.peerkd:9000 has no bucket nobucket: make "
        f"it, or name another in the address s3://BUCKET/PREFIX. Its page has the logs: {page(api)}",
    )


def test_a_failed_step_without_a_log_is_reported_with_its_page(
    api: PipelineApi, server: PipelineServer, time: Time
) -> None:
    api.answers = [recorded("failed-by-a-parameter")]
    assert wait(server, time) == Ending(
        FAILED, f"The run {RUN_ID} failed in partition-data. Its page has the logs: {page(api)}"
    )


def test_a_failed_driver_is_reported_with_its_earlier_failures(
    api: PipelineApi, server: PipelineServer, time: Time
) -> None:
    api.answers = [recorded("failed-by-a-driver-run-twice")]
    api.logs["jointkd-2nnvd-system-dag-driver-3499571191"] = (
        "I1128 02:09:19.001000       1 main.go:120] input RuntimeConfig\n"
        "F1128 02:09:20.123456       1 main.go:79] KFP driver: driver.DAG() failed: two tasks have the same task name "
        '"pretrain-peers", id1=12 id2=13\n'
    )
    ending = wait(server, time)
    assert ending.is_fault_of_server
    assert ending.message == (
        f"The run {RUN_ID} failed in condition-branches-1, before its program began (its driver failed): KFP driver: "
        'driver.DAG() failed: two tasks have the same task name "pretrain-peers", id1=12 id2=13. The driver of '
        "pretrain-peers had failed and was run twice. Kubeflow Pipelines often cannot continue after that. Submit "
        f"the run again: finished stages are found in the store. Its page has the logs: {page(api)}"
    )


def test_a_terminated_run_was_cancelled_though_its_state_is_failed(
    api: PipelineApi, server: PipelineServer, time: Time
) -> None:
    api.answers = [recorded("terminated")]
    assert wait(server, time) == Ending(CANCELED, f"The run {RUN_ID} was cancelled.")


def test_a_run_that_succeeded_succeeded(api: PipelineApi, server: PipelineServer, time: Time) -> None:
    api.answers = [recorded("succeeded")]
    assert wait(server, time) == Ending(SUCCEEDED, f"The run {RUN_ID} succeeded.")


def test_a_failed_run_without_a_message_is_reported_with_its_page(
    api: PipelineApi, server: PipelineServer, time: Time
) -> None:
    api.answers = [{"state": "FAILED"}]
    assert wait(server, time).message == f"The run {RUN_ID} failed. Its page has the logs: {page(api)}"
    api.answers = [{"state": "FAILED", "error": {"code": 13, "message": "workflow too large"}}]
    assert wait(server, time).message == (
        f"The run {RUN_ID} failed: workflow too large. Its page has the logs: {page(api)}"
    )
