"""The check that refuses options without an effect.

The table ``IDLE`` has the cases that can be recognised from the command line alone. A field of a config without an
effect is refused where configs are read.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

Given = Mapping[str, Any]
"""The values that were given on the command line, by the names of the command's parameters."""

_CLUSTER_VARIABLES: Final = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST")
"""The environment variables that show that a cluster is configured: the first is set outside a cluster, the second
inside a pod."""


class Idle(NamedTuple):
    """Options of a command that have no effect in a situation."""

    options: tuple[str, ...]
    is_situation: Callable[[Given], bool]
    reason: str
    """The words that follow "must not be given"."""


def is_cluster_configured() -> bool:
    """Return whether this machine knows of a cluster."""
    return any(map(os.environ.get, _CLUSTER_VARIABLES)) or Path("~/.kube/config").expanduser().is_file()


def is_pipeline_run(text: str) -> bool:
    """Return whether a text is the id of a run on Kubeflow Pipelines, which is a UUID."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _is_dry(given: Given) -> bool:
    return bool(given.get("dry_run"))


def _checks_machine(given: Given) -> bool:
    """Return whether ``peerkd doctor`` with these options checks this machine, and not a cluster."""
    is_about_cluster = not given.keys().isdisjoint(("workers", "gpus", "cluster", "store", "namespace"))
    is_experiment = not given.keys().isdisjoint(("preset", "config", "override"))
    return is_experiment or not (is_about_cluster or is_cluster_configured())


_RUN: Final = (Idle(("--output", "--verbose", "--quiet", "--json"), _is_dry, "with --dry-run, which runs nothing"),)
_SERVER: Final = Idle(
    ("--token-file",), lambda given: bool(given.get("token")), "together with --token, which is used instead"
)

IDLE: Final[Mapping[str, tuple[Idle, ...]]] = {
    "run jointkd": _RUN,
    "run pcl": _RUN,
    "run collaborate": _RUN,
    "watch": (
        Idle(
            ("--endpoint", "--token", "--token-file", "--patience"),
            lambda given: not is_pipeline_run(given.get("run") or ""),
            "for a run of this machine, which needs no server",
        ),
        Idle(
            ("--output", "--page"),
            lambda given: is_pipeline_run(given.get("run") or ""),
            "for a run on Kubeflow Pipelines, which has no folder on this machine",
        ),
        Idle(("--port",), lambda given: not given.get("page"), "without --page, which opens the port"),
        _SERVER,
    ),
    "stop": (
        Idle(
            ("--endpoint", "--token", "--token-file"),
            lambda given: not is_pipeline_run(given.get("run") or ""),
            "for a run of this machine or a store, which needs no server of pipelines",
        ),
        Idle(
            ("--output", "--store", "--namespace"),
            lambda given: is_pipeline_run(given.get("run") or ""),
            "for a run on Kubeflow Pipelines, which its server ends",
        ),
        _SERVER,
    ),
    "submit": (
        Idle(
            ("--timeout", "--patience", "--retry"), lambda given: not given.get("watch"), "without --watch, which waits"
        ),
        _SERVER,
    ),
    "doctor": (
        Idle(("--service-account",), _checks_machine, "when this machine is checked, which has no service accounts"),
        Idle(
            ("--pipeline", "--output"),
            lambda given: not _checks_machine(given),
            "when a cluster is checked; give --preset, --config or --set to check this machine",
        ),
    ),
    "export": (
        Idle(
            ("--best",),
            lambda given: not given.keys().isdisjoint(("teacher", "setting")),
            "together with --teacher or --setting, which name another network",
        ),
    ),
}
"""The options without an effect and their situations, by the words of the command."""


def check_options(command: str, options: Mapping[str, str], given: Given) -> None:
    """Check that every given option has an effect.

    Args:
        command: The words of the command, such as ``run pcl``.
        options: The option by which each parameter was given, such as ``--dry-run``, by the parameter's name.
        given: The values that were given.

    Raises:
        ValueError: If an option has no effect.
    """
    for idle in IDLE.get(command, ()):
        if idle.is_situation(given):
            for option in options.values():
                if option in idle.options:
                    raise ValueError(f"{option} must not be given {idle.reason}.")
