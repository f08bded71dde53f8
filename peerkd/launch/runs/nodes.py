"""The nodes of the Argo Workflow behind a run, reconstructed from the tasks that Kubeflow Pipelines lists.

The server lists every node as a task with a display name, a state and the identifiers of the nodes that follow it. It
does not list the identifier or the parent of the node itself, and the node of every task's pod has the display name
``executor``. This module finds the identifiers, because Argo builds them by rules:

- The identifier of a node consists of the name of the Workflow and the FNV-1a hash of the node's full name.
- The full name of a node is the full name of its parent, a dot, and the display name of the node.
- The full name of an attempt is the full name of the retried node, followed by ``(0)``, ``(1)`` and so on.
- The full name of an item of a loop ends with ``(INDEX:ITEM)``.

The module forms all full names that these rules allow for the display names of a run. The hashes in the identifiers of
the nodes that follow a node show which of these full names exist.

Source: argo-workflows, ``Workflow.NodeID`` and ``util.GeneratePodName``.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_EXECUTOR: Final = "executor"
_DRIVER: Final = "-driver"
_LOOP_NODES: Final = frozenset({"iteration", "iteration-iterations", "iteration-item"})
"""The names of nodes that the server adds around each item of a loop."""

_ATTEMPT: Final = re.compile(r"\((\d+)\)$")
_ITEM: Final = re.compile(r"\((\d+):[^)]*\)$")
_FNV_OFFSET: Final = 2166136261
_FNV_PRIME: Final = 16777619
_MAX_NAMES: Final = 200_000

Task = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedPod:
    """A pod whose failure made the run fail."""

    node: str
    """The identifier of the pod's node in the Workflow; empty if it is unknown."""

    task: str
    """The key of the pod's task in the pipeline."""

    iterations: tuple[tuple[str, int], ...] = ()
    """The loops around the pod, the outermost first: the task of each loop, and the iteration counted from 0."""

    is_driver: bool = False
    """Whether the pod is a driver: it prepares the task, and another pod runs the program of the task."""

    ended_at: str = ""

    def pod_names(self) -> list[str]:
        """Return all names that the pod may have.

        The pod of the node WORKFLOW-HASH is called either WORKFLOW-TEMPLATE-HASH or WORKFLOW-HASH. The server does not
        tell the template, so the result has one name for each possible template, and WORKFLOW-HASH.
        """
        if not self.node:
            return []
        workflow, _, digits = self.node.rpartition("-")
        if self.is_driver:
            templates = ["system-container-driver", "system-dag-driver"]
        else:
            templates = ["system-container-impl", "retry-system-container-impl", "system-importer"]
        return [*(f"{workflow}-{template}-{digits}" for template in templates), self.node]


def failed_pods(tasks: Iterable[Task]) -> list[FailedPod]:
    """Return the pods whose failures made the run fail, in the order in which they ended.

    A failed pod is omitted if a later attempt succeeded.
    """
    listed = [task for task in tasks if task.get("display_name")]
    names = full_names(listed)
    found: dict[str, FailedPod] = {}
    failed = [task for task in listed if task.get("state") == "FAILED"]
    for task in failed:
        for pod in _pods_of(task, names):
            found.setdefault(pod.node or pod.task, pod)
    if not found:
        found = {each.task: each for task in failed if (each := _by_display_name(task))}
    return sorted(found.values(), key=lambda pod: (not pod.ended_at, pod.ended_at))


def repeated_drivers(tasks: Iterable[Task]) -> list[str]:
    """Return the tasks whose driver failed and was run again, which often makes later tasks fail."""
    again = {
        match[1]
        for task in tasks
        if task.get("state") == "FAILED"
        and (match := re.fullmatch(rf"(.+){_DRIVER}\(\d+\)", task.get("display_name") or ""))
    }
    states = {task.get("display_name"): task.get("state") for task in tasks}
    return sorted(name for name in again if states.get(name + _DRIVER) == "SUCCEEDED")


def full_names(tasks: Iterable[Task]) -> dict[str, str]:
    """Return the full names of the nodes of a run, by identifier. Nodes whose names cannot be derived are missing."""
    tasks = list(tasks)
    wanted = {identifier for task in tasks for identifier in _children(task)}
    workflows = Counter(identifier.rpartition("-")[0] for identifier in wanted)
    if not workflows:
        return {}
    workflow = workflows.most_common(1)[0][0]
    steps = {name for task in tasks if "(" not in (name := str(task["display_name"]))}
    repeats: dict[str, set[str]] = defaultdict(set)
    for task in tasks:
        base, bracket, rest = str(task["display_name"]).rpartition("(")
        if bracket:
            repeats[base].add(bracket + rest)
    found: dict[str, str] = {}
    # The full name of a node, its hash, and the display name with which its attempts and items begin.
    to_visit = [(workflow, _hash(workflow), workflow)]
    num_tried = 0
    while to_visit and num_tried < _MAX_NAMES:
        parent, parent_hash, shown = to_visit.pop()
        for suffix, child_shown in [
            *((f".{name}", name) for name in steps),
            *((suffix, shown + suffix) for suffix in repeats[shown]),
        ]:
            num_tried += 1
            child_hash = _hash(suffix, parent_hash)
            identifier = f"{workflow}-{child_hash}"
            if identifier in wanted and identifier not in found:
                found[identifier] = parent + suffix
                to_visit.append((parent + suffix, child_hash, child_shown))
    return found


def _pods_of(task: Task, names: Mapping[str, str]) -> Iterable[FailedPod]:
    """Yield the pods of a failed node. If the node was retried, this is only the pod of the last attempt."""
    shown = str(task["display_name"])
    ended_at = str(task.get("end_time") or "")
    children = {name: identifier for identifier in _children(task) if (name := names.get(identifier))}
    if _is_of_a_pod(shown):
        attempts = {name: int(match[1]) for name in children if (match := _ATTEMPT.search(name))}
        own = {name: number for name, number in attempts.items() if _last(_ATTEMPT.sub("", name)) == shown}
        if own:
            last = max(own, key=lambda name: own[name])
            yield _pod(last, children[last], ended_at=ended_at)
        elif shown.endswith(_DRIVER):
            same = {name: identifier for identifier, name in names.items() if _last(name) == shown}
            if len(same) == 1:
                # Without a retry strategy, the node itself has the pod.
                ((name, identifier),) = same.items()
                yield _pod(name, identifier, ended_at=ended_at)
    else:
        for name, identifier in children.items():
            is_retried = any(other.startswith(f"{name}(") for other in names.values())
            if _last(name) == _EXECUTOR and _last(_parent(name)) == shown and not is_retried:
                yield _pod(name, identifier, ended_at=ended_at)


def _pod(name: str, node: str, *, ended_at: str) -> FailedPod:
    # The first two parts are the workflow and the pipeline.
    parts = name.split(".")[2:] or [name.split(".")[-1]]
    is_driver = False
    loops: list[tuple[str, int]] = []
    task = "root"
    for part in parts:
        part = _ATTEMPT.sub("", part)
        item = _ITEM.search(part)
        base = part[: item.start()] if item else part
        if item:
            loops.append((task, int(item[1])))
        is_driver = base.endswith(_DRIVER)
        base = base.removesuffix(_DRIVER)
        if base != _EXECUTOR and base not in _LOOP_NODES:
            task = base
    return FailedPod(node=node, task=task, iterations=tuple(loops), is_driver=is_driver, ended_at=ended_at)


def _by_display_name(task: Task) -> FailedPod | None:
    """Return the pod of a failed task, found by the task's display name alone.

    The result is None if the display name does not contain the task's key.

    This function is used for a node for which no full name could be derived. This happens with servers of other
    versions, whose responses differ.
    """
    shown = str(task["display_name"])
    if "(" in shown or shown in (_EXECUTOR, "root"):
        return None
    return FailedPod(
        node="",
        task=shown.removesuffix(_DRIVER),
        is_driver=shown.endswith(_DRIVER),
        ended_at=str(task.get("end_time") or ""),
    )


def _is_of_a_pod(shown: str) -> bool:
    return shown == _EXECUTOR or shown.endswith(_DRIVER)


def _children(task: Task) -> list[str]:
    return [str(child["pod_name"]) for child in task.get("child_tasks") or [] if child.get("pod_name")]


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _last(name: str) -> str:
    """Return the last part of a full name without the number of the attempt."""
    return _ATTEMPT.sub("", name.rpartition(".")[2])


def _hash(text: str, state: int = _FNV_OFFSET) -> int:
    """Return the 32-bit FNV-1a hash of a text.

    Args:
        text: The text.
        state: The hash of another text, by default of the empty text. The result is the hash of that text followed by
            ``text``.
    """
    value = state
    for byte in text.encode():
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return value
