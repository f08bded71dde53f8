"""The one place where a backend's name becomes a backend. Each is imported only if it is asked for."""

import os
from collections.abc import Mapping

from peerkd.config.cluster import ClusterConfig, resolve_cluster
from peerkd.config.launch import LaunchConfig
from peerkd.launch.order import POD_VARIABLE, Backend


def choose_backend(launch: LaunchConfig, *, environment: Mapping[str, str] = os.environ) -> str:
    """Return ``kubernetes``, ``local``, or ``in_process`` where the calling process does the work.

    Args:
        launch: The backend ``auto`` is ``kubernetes`` inside of a Kubeflow pipeline and ``local`` elsewhere.
        environment: Says whether this is a task of a pipeline.

    Raises:
        ValueError: If the calling process is to do the work of a job.
    """
    name = launch.backend
    if name == "auto":
        name = "kubernetes" if environment.get(POD_VARIABLE) else "local"
    # A description that is right for auto may be wrong for what that stands for.
    launch.check_num_workers(name)
    return "in_process" if launch.is_in_process else name


def check_launch(launch: LaunchConfig, *, environment: Mapping[str, str] = os.environ) -> None:
    """Check a launch description as far as that is possible before any work.

    Raises:
        ValueError: If a setting breaks a rule, or the operator does not allow it.
    """
    choose_backend(launch, environment=environment)
    resolve_cluster(launch, environment=environment)


def open_backend(
    launch: LaunchConfig,
    *,
    cluster: ClusterConfig,
    run_id: str = "",
    environment: Mapping[str, str] = os.environ,
) -> Backend:
    """Return what carries out orders: processes on this machine, or jobs on a cluster.

    A TrainJob's backend would have its name here.

    Args:
        launch: Names the backend.
        cluster: What workers there are, and what they may take.
        run_id: Identifies a run. Empty: it follows from the order, so that the same order given again finds the job
            of the first.
        environment: As for ``choose_backend``.

    Raises:
        ValueError: If no cluster is configured.
        ClusterUnavailableError: If the cluster's configuration cannot be used.
    """
    match choose_backend(launch, environment=environment):
        case "local":
            from peerkd.launch.local_workers import LocalWorkers

            return LocalWorkers(cluster)
        case "kubernetes":
            from peerkd.launch.kubernetes.kinds import PYTORCHJOB
            from peerkd.launch.kubernetes.run import KubernetesJobs

            return KubernetesJobs(cluster, kind=PYTORCHJOB, run_id=run_id)
        case name:
            raise AssertionError(name)
