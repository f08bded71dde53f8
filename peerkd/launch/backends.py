"""The choice of a backend by its name. Each backend is imported only if it is used."""

import os
from collections.abc import Mapping

from peerkd.config.cluster import ClusterConfig, resolve_cluster
from peerkd.config.launch import LaunchConfig
from peerkd.launch.order import POD_VARIABLE, Backend


def choose_backend(launch: LaunchConfig, *, environment: Mapping[str, str] = os.environ) -> str:
    """Return the name of the backend that a launch description selects.

    The name is ``kubernetes`` (jobs on a cluster), ``local`` (processes on this machine) or ``in_process`` (the calling
    process).

    Args:
        launch: The launch description. The backend ``auto`` is ``kubernetes`` inside a Kubeflow pipeline and ``local``
            elsewhere.
        environment: Variables that show whether this process is a task of a pipeline.

    Raises:
        ValueError: If the number of workers is 0 and the backend is ``kubernetes``.
    """
    name = launch.backend
    if name == "auto":
        name = "kubernetes" if environment.get(POD_VARIABLE) else "local"
    # A description that is valid for auto may be invalid for the chosen backend.
    launch.check_num_workers(name)
    return "in_process" if launch.is_in_process else name


def check_launch(launch: LaunchConfig, *, environment: Mapping[str, str] = os.environ) -> None:
    """Check everything about a launch description that can be checked before any work.

    Raises:
        ValueError: If a setting is not valid, or the operator of the cluster does not allow its value.
    """
    choose_backend(launch, environment=environment)
    resolve_cluster(launch, environment=environment)


def check_device(launch: LaunchConfig, device: str, *, environment: Mapping[str, str] = os.environ) -> None:
    """Check that the pods of a cluster have the device of an experiment, if a launch description selects a cluster.

    Raises:
        ValueError: If the device is the GPU of an Apple computer, on which no pod runs.
    """
    if device == "mps" and choose_backend(launch, environment=environment) == "kubernetes":
        raise ValueError("compute.device must be auto, cpu or cuda on a cluster, whose pods run Linux, got mps.")


def open_backend(
    launch: LaunchConfig,
    *,
    cluster: ClusterConfig,
    run_id: str = "",
    environment: Mapping[str, str] = os.environ,
) -> Backend:
    """Return the backend that carries out orders: processes on this machine, or jobs on a cluster.

    Args:
        launch: The launch description, which names the backend. Its number of workers must not be 0: with 0 workers the
            calling process does the work itself, and gives no orders.
        cluster: The resolved settings of the workers: their number and their resources.
        run_id: The id of the run. If it is empty, the id is derived from each order, so that a repeated order finds the
            job that it created before.
        environment: Variables that show whether this process is a task of a pipeline.

    Raises:
        ValueError: If the number of workers is 0 and the backend is ``kubernetes``.
    """
    match choose_backend(launch, environment=environment):
        case "local":
            from peerkd.launch.local_workers import LocalWorkers

            return LocalWorkers(cluster)
        case "kubernetes":
            from peerkd.launch.kubernetes.run import KubernetesJobs

            return KubernetesJobs(cluster, run_id=run_id)
        case name:
            raise AssertionError(name)
