"""A sentence about the failure of a run: the task, the iteration of a loop, and the error at the end of the log."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from peerkd.launch.runs.nodes import FailedPod, failed_pods, repeated_drivers
from peerkd.metrics.progress import LINE_PREFIX

_ERROR: Final = ": error: "
_FATAL: Final = re.compile(r"^[EF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.-]+:\d+\] (.+)$")
"""The pattern of a log line with an error of Kubeflow Pipelines' own programs, which log with klog."""

_EXCEPTION: Final = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit)(?:: .+)?$")
"""The pattern of the last line of a Python traceback."""

_NOTHING_NEW: Final = re.compile(r"exit status \d+$")
_MAX_SENTENCE: Final = 600


def failure_of(run: Mapping[str, Any], *, log: Callable[[Sequence[str]], str]) -> str:
    """Return where and why a run failed, such as " in partition-data: ..."; empty if the server says neither.

    Args:
        run: The run, as the server describes it.
        log: A function that receives names of pods, and returns the end of the log of the first of them that has a log,
            or an empty text.
    """
    tasks = ((run.get("run_details") or {}).get("task_details")) or []
    pods = failed_pods(tasks)
    if not pods:
        return _ended(f": {_message(run)}") if _message(run) else ""
    names = _names_as_shown(run)
    first = pods[0]
    others = len({(pod.task, pod.iterations) for pod in pods} - {(first.task, first.iterations)})
    where = f" in {_place(first, names)}"
    if others:
        where += f" (and in {others} other{'s' if others > 1 else ''} after it)"
    why = sentence_of(log(first.pod_names())) or _server_message(tasks, first) or _message(run)
    again = repeated_drivers(tasks) if first.is_driver else []
    text = _ended(f"{where}: {why}" if why else where)
    if again:
        text += (
            f" The driver of {' and of '.join(again)} had failed and was run twice. Kubeflow Pipelines often cannot "
            "continue after that. Submit the run again: finished stages are found in the store."
        )
    return text


def is_fault_of_server(run: Mapping[str, Any]) -> bool:
    """Return whether a run failed before the program of a task began, because a driver failed.

    A driver is a program of Kubeflow Pipelines, so a new run with the same parameters may succeed.
    """
    pods = failed_pods(((run.get("run_details") or {}).get("task_details")) or [])
    return bool(pods) and pods[0].is_driver


def sentence_of(log: str) -> str:
    """Return the error that ended the program of a pod, as a sentence from its log; empty if the log has none."""
    lines = [line.rstrip() for line in log.splitlines()]
    for line in reversed(lines):
        if line.startswith(LINE_PREFIX) and _ERROR in line:
            return line.partition(_ERROR)[2].strip()[:_MAX_SENTENCE]
    for pattern in (_EXCEPTION, _FATAL):
        for line in reversed(lines):
            found = pattern.match(line)
            if found and not _NOTHING_NEW.search(line):
                return (found[1] if found.re.groups else line).strip()[:_MAX_SENTENCE]
    return ""


def _place(pod: FailedPod, names: Mapping[str, str]) -> str:
    place = names.get(pod.task, pod.task)
    if pod.iterations:
        loops = " in ".join(
            f"iteration {number} of {names.get(loop, loop)}" for loop, number in reversed(pod.iterations)
        )
        place += f", {loops} (counted from 0)"
    return f"{place}, before its program began (its driver failed)" if pod.is_driver else place


def _names_as_shown(run: Mapping[str, Any]) -> dict[str, str]:
    """Return the name under which the server's pages show each task, by the key of the task in the pipeline."""
    spec = run.get("pipeline_spec") or {}
    spec = spec.get("pipeline_spec", spec)
    graphs = [spec.get("root"), *(spec.get("components") or {}).values()]
    return {key: name for graph in graphs for key, name in _tasks_of(graph or {})}


def _tasks_of(component: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, task in ((component.get("dag") or {}).get("tasks") or {}).items():
        name = (task.get("taskInfo") or {}).get("name")
        if name:
            yield key, str(name)


def _server_message(tasks: Sequence[Mapping[str, Any]], pod: FailedPod) -> str:
    """Return the server's own message about the task of a pod; it is usually empty."""
    for task in tasks:
        if str(task.get("display_name", "")).removesuffix("-driver") == pod.task and task.get("state") == "FAILED":
            messages = map(_message, (task, *reversed(task.get("state_history") or [])))
            if message := next(filter(None, messages), ""):
                return message
    return ""


def _message(task: Mapping[str, Any]) -> str:
    return str((task.get("error") or {}).get("message") or "")


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
