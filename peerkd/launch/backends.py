"""The one place where a backend's name becomes a backend. Each is imported only if it is asked for."""

import os
from collections.abc import Mapping
from typing import Final

from peerkd.config.cluster import ClusterConfig
from peerkd.excerpt import plain
from peerkd.launch.order import Backend

BACKENDS: Final = ("auto", "local", "kubernetes")
POD_VARIABLE: Final = "KFP_POD_NAME"
"""Kubeflow Pipelines sets it in the pod of every task."""


def open_backend(
    name: str,
    *,
    cluster: ClusterConfig,
    run_id: str = "",
    task_id: str = "",
    environment: Mapping[str, str] = os.environ,
) -> Backend:
    """Return what carries out orders.

    Args:
        name: ``local`` for processes on this machine, ``kubernetes`` for jobs on a cluster, ``auto`` for the second
            inside of a Kubeflow pipeline and the first elsewhere. A TrainJob's backend would have its name here.
        cluster: What workers there are, and what they may take.
        run_id: Tells one run from another. Empty: it follows from the order, so that the same order given again
            finds the job of the first.
        task_id: Tells tasks of a run apart.
        environment: Where ``auto`` looks.

    Raises:
        ValueError: If there is no such backend, or no cluster is configured.
        ClusterUnavailableError: If the cluster's configuration cannot be used.
    """
    check_backend(name)
    if name == "auto":
        name = "kubernetes" if environment.get(POD_VARIABLE) else "local"
    match name:
        case "local":
            from peerkd.launch.local_workers import LocalWorkers

            return LocalWorkers(cluster)
        case "kubernetes":
            from peerkd.launch.kubernetes.run import PyTorchJobs

            return PyTorchJobs(cluster, run_id=run_id, task_id=task_id)
    raise AssertionError(name)


def check_backend(name: str) -> None:
    """Check that a backend exists.

    Raises:
        ValueError: If it does not exist.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {plain(name)}.")
