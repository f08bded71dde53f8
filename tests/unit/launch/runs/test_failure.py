import pytest

from peerkd.launch.runs.failure import failure_of, sentence_of
from peerkd.launch.runs.nodes import FailedPod
from tests.kfp_server import ANSWERS, recorded


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (
            (ANSWERS / "failed-in-a-step.log").read_text(),
            "The store http://minio.peerkd:9000 has no bucket nobucket: make it, or name another in the address "
            "s3://BUCKET/PREFIX.",
        ),
        (
            "peerkd | distill_pairs: error: The first attempt.\n"
            "peerkd | distill_pairs: 3 of 9 trials\n"
            "peerkd | distill_pairs: error: Worker 1 ran out of memory.\nIts last lines were:\nKilled\n"
            "F1128 02:17:14.978299      16 main.go:59] failed to execute component: exit status 1\n",
            "Worker 1 ran out of memory.",
        ),
        (
            'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n'
            "ModuleNotFoundError: No module named 'peerkd'\n"
            "F1128 02:17:14.978299      16 main.go:59] failed to execute component: exit status 1\n",
            "ModuleNotFoundError: No module named 'peerkd'",
        ),
        (
            "F1128 02:09:20.123456       1 main.go:79] KFP driver: two tasks have the same task name\n",
            "KFP driver: two tasks have the same task name",
        ),
        ("F1128 02:17:14.978299      16 main.go:59] failed to execute component: exit status 1\n", ""),
        ("", ""),
    ],
)
def test_the_last_sentence_of_a_log_is_found(log: str, sentence: str) -> None:
    assert sentence_of(log) == sentence


def test_a_task_has_the_name_that_the_servers_pages_show() -> None:
    tasks = {"partition-data": {"taskInfo": {"name": "Divide the data"}}}
    spec = {"root": {"dag": {"tasks": tasks}}}
    for pipeline_spec in (spec, {"pipeline_spec": spec, "platform_spec": {}}):
        run = recorded("failed-in-a-step") | {"pipeline_spec": pipeline_spec}
        assert failure_of(run, log=lambda _: "") == " in Divide the data."


def test_the_servers_own_message_about_a_task_is_reported() -> None:
    run = recorded("failed-in-a-step")
    for task in run["run_details"]["task_details"]:
        if task["display_name"] == "partition-data":
            task["state_history"].append({"state": "FAILED", "error": {"code": 2, "message": "no image"}})
    assert failure_of(run, log=lambda _: "") == " in partition-data: no image."


def test_other_failures_are_counted_and_iterations_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = [
        FailedPod(node="w-1", task="train", iterations=(("for-loop-1", 2), ("for-loop-4", 0))),
        FailedPod(node="w-2", task="train", iterations=(("for-loop-1", 3), ("for-loop-4", 0))),
        FailedPod(node="w-3", task="collect"),
    ]
    monkeypatch.setattr("peerkd.launch.runs.failure.failed_pods", lambda _: pods)
    assert failure_of({}, log=lambda _: "peerkd | train: error: No room.") == (
        " in train, iteration 0 of for-loop-4 in iteration 2 of for-loop-1 (counted from 0) (and in 2 others after "
        "it): No room."
    )
