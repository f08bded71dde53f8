"""The tasks of a compiled pipeline that a run with given arguments executes, in all branches, as one flat table."""

import re
from collections.abc import Mapping
from typing import Any, Final

_CONDITION: Final = re.compile(r"(!?)\(?inputs\.parameter_values\['(?P<name>[^']+)'\] == '(?P<value>[^']*)'\)?")
"""The conditions of our pipelines: a parameter equals a value, or does not."""


def flattened(spec: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tasks that have a container, by name, as if they were at the root of the pipeline.

    Raises:
        AssertionError: If a condition has another form than those of our pipelines.
    """
    tasks: dict[str, dict[str, Any]] = {}
    _add(tasks, spec, spec["root"]["dag"], arguments=arguments, outer={}, after=[])
    return tasks


def _add(
    tasks: dict[str, dict[str, Any]],
    spec: Mapping[str, Any],
    dag: Mapping[str, Any],
    *,
    arguments: Mapping[str, Any],
    outer: Mapping[str, Any],
    after: list[str],
) -> None:
    for name, task in dag["tasks"].items():
        inputs = {kind: _sources(each, outer) for kind, each in task.get("inputs", {}).items()}
        if not _is_wanted(task, inputs.get("parameters", {}), arguments):
            continue
        waits_for = [*after, *task.get("dependentTasks", [])]
        component = spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            given = {inner: source for each in inputs.values() for inner, source in each.items()}
            _add(tasks, spec, component["dag"], arguments=arguments, outer=given, after=waits_for)
        else:
            tasks[name] = {**task, "inputs": inputs, "dependentTasks": waits_for}


def _sources(inputs: Mapping[str, Any], outer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sources of inputs, as seen from the root."""
    found = {}
    for name, source in inputs.items():
        inherited = source.get("componentInputParameter", source.get("componentInputArtifact"))
        found[name] = outer.get(inherited, source)
    return found


def _is_wanted(task: Mapping[str, Any], sources: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    asked = task.get("triggerPolicy", {}).get("condition")
    if asked is None:
        return True
    condition = _CONDITION.fullmatch(asked)
    assert condition, asked
    has_it = arguments[sources[condition["name"]]["componentInputParameter"]] == condition["value"]
    return has_it is not bool(condition[1])
