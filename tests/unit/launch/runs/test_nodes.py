"""Nodes are reconstructed from answers of a real server, and from Workflows of other shapes."""

from typing import Any

import pytest

from peerkd.launch.runs.nodes import FailedPod, failed_pods, full_names, repeated_drivers
from tests.kfp_server import recorded


def identifier(name: str) -> str:
    """Return Argo's identifier of a node: the workflow's name and the FNV-1a hash of the node's full name."""
    value = 2166136261
    for byte in name.encode():
        value = ((value ^ byte) * 16777619) % 2**32
    return f"{name.partition('.')[0].partition('(')[0]}-{value}"


def tasks(*nodes: tuple[str, str]) -> list[dict[str, Any]]:
    """Return a run's tasks as the server lists them: full names and states become display names and children."""
    names = [name for name, _ in nodes]
    listed = []
    for number, (name, state) in enumerate(nodes):
        children = [other for other in names if other != name and _is_child(other, name)]
        shown = name.rpartition(".")[2]
        listed.append(
            {
                "display_name": shown,
                "state": state,
                "end_time": f"2026-01-01T00:00:{59 - number:02d}Z",
                "child_tasks": [{"pod_name": identifier(child)} for child in children],
            }
        )
    return [{"execution_id": "43"}, *listed]


def _is_child(name: str, parent: str) -> bool:
    rest = name.removeprefix(parent)
    return rest != name and (rest.startswith(("(", "."))) and "." not in rest[1:] and ")(" not in rest


@pytest.mark.parametrize("name", ["failed-in-a-step", "failed-by-a-driver-run-twice", "succeeded", "terminated"])
def test_every_identifier_that_a_real_server_tells_has_a_name(name: str) -> None:
    listed = [task for task in recorded(name)["run_details"]["task_details"] if task.get("display_name")]
    told = {child["pod_name"] for task in listed for child in task.get("child_tasks", [])}
    names = full_names(listed)
    assert told == names.keys()
    assert {identifier(each) for each in names.values()} == told


@pytest.mark.parametrize(
    ("name", "task", "pod", "is_driver"),
    [
        ("failed-in-a-step", "partition-data", "jointkd-x87cx-system-container-impl-2859024191", False),
        ("failed-by-a-parameter", "partition-data", "jointkd-gdwzq-system-container-impl-2948258550", False),
        (
            "failed-by-a-driver-run-twice",
            "condition-branches-1",
            "jointkd-2nnvd-system-dag-driver-3499571191",
            True,
        ),
        ("terminated", "distill-pairs", "jointkd-9dljd-system-container-impl-2368326049", False),
    ],
)
def test_the_pod_that_failed_is_found(name: str, task: str, pod: str, is_driver: bool) -> None:
    (failed,) = failed_pods(recorded(name)["run_details"]["task_details"])
    assert (failed.task, failed.is_driver) == (task, is_driver)
    assert pod in failed.pod_names()


def test_a_run_that_succeeded_has_no_failed_pod_though_an_attempt_failed() -> None:
    assert failed_pods(recorded("succeeded")["run_details"]["task_details"]) == []
    assert repeated_drivers(recorded("succeeded")["run_details"]["task_details"]) == []
    twice = recorded("failed-by-a-driver-run-twice")["run_details"]["task_details"]
    assert repeated_drivers(twice) == ["pretrain-peers"]


def test_iterations_of_nested_loops_are_counted() -> None:
    item = "w(0).root(0).for-loop-1(0).iteration-iterations(2:2)(0).iteration-item(0)"
    inner = f"{item}.for-loop-4(0).iteration-iterations(0:0)(0).iteration-item(0)"
    names = [
        "w",
        "w(0)",
        "w(0).root",
        "w(0).root(0)",
        "w(0).root(0).for-loop-1",
        "w(0).root(0).for-loop-1(0)",
        "w(0).root(0).for-loop-1(0).iteration-iterations",
        "w(0).root(0).for-loop-1(0).iteration-iterations(2:2)",
        "w(0).root(0).for-loop-1(0).iteration-iterations(2:2)(0)",
        "w(0).root(0).for-loop-1(0).iteration-iterations(2:2)(0).iteration-item",
        item,
        f"{item}.for-loop-4",
        f"{item}.for-loop-4(0)",
        f"{item}.for-loop-4(0).iteration-iterations",
        f"{item}.for-loop-4(0).iteration-iterations(0:0)",
        f"{item}.for-loop-4(0).iteration-iterations(0:0)(0)",
        f"{item}.for-loop-4(0).iteration-iterations(0:0)(0).iteration-item",
        inner,
        f"{inner}.train",
        f"{inner}.train(0)",
        f"{inner}.train(0).executor",
        f"{inner}.train(0).executor(0)",
        f"{inner}.train(0).executor(1)",
    ]
    (failed,) = failed_pods(tasks(*((name, "FAILED") for name in names)))
    assert (failed.task, failed.iterations) == ("train", (("for-loop-1", 2), ("for-loop-4", 0)))
    # The last attempt has the reason.
    assert failed.node == identifier(names[-1])


def test_without_a_retry_strategy_a_node_is_its_pod() -> None:
    executor = "w.root.train.executor"
    listed = tasks(*((name, "FAILED") for name in ("w", "w.root", "w.root.train", executor)))
    assert failed_pods(listed) == [FailedPod(node=identifier(executor), task="train", ended_at="2026-01-01T00:00:57Z")]
    driver = "w.root.train-driver"
    listed = tasks(*((name, "FAILED") for name in ("w", "w.root", driver)))
    (failed,) = failed_pods(listed)
    assert (failed.node, failed.task, failed.is_driver) == (identifier(driver), "train", True)


def test_failed_pods_are_in_the_order_of_their_ends() -> None:
    names = ["w(0)", "w(0).root", "w(0).root(0)"]
    for task in ("late", "early"):
        begin = f"w(0).root(0).{task}"
        names += [begin, f"{begin}(0)", f"{begin}(0).executor", f"{begin}(0).executor(0)"]
    assert [pod.task for pod in failed_pods(tasks(("w", "FAILED"), *((name, "FAILED") for name in names)))] == [
        "early",
        "late",
    ]


def test_nodes_without_full_names_are_reported_by_display_name() -> None:
    listed = [
        {"display_name": "root", "state": "FAILED", "child_tasks": [{"pod_name": "x-1"}]},
        {"display_name": "pretrain-peers", "state": "FAILED", "end_time": "2026-01-01T00:00:01Z"},
        {"display_name": "executor", "state": "FAILED"},
    ]
    assert [(pod.task, pod.pod_names()) for pod in failed_pods(listed)] == [("pretrain-peers", [])]
    assert failed_pods([]) == []


def test_a_loop_of_thousands_is_named_in_seconds() -> None:
    loop = "w(0).root(0).for-loop-1(0).iteration-iterations"
    nodes = [("w", "FAILED"), *((f"{loop}({number}:{number})", "SUCCEEDED") for number in range(3000))]
    listed = [{"display_name": name.rpartition(".")[2], "state": state, "child_tasks": []} for name, state in nodes]
    chain = ["w(0)", "w(0).root", "w(0).root(0)", "w(0).root(0).for-loop-1", "w(0).root(0).for-loop-1(0)", loop]
    listed += [
        {"display_name": name.rpartition(".")[2], "state": "FAILED", "child_tasks": [{"pod_name": identifier(name)}]}
        for name in chain
    ]
    listed[0]["child_tasks"] = [{"pod_name": identifier(name)} for name, _ in nodes[1:]]
    assert len(full_names(listed)) == 3000 + len(chain)
