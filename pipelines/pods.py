"""The settings of the pods of all pipelines' tasks. They have no effect in a run on one machine."""

from typing import Final

from kfp import kubernetes
from kfp.dsl import PipelineTask

from peerkd.config.cluster import SETTINGS, SETTINGS_NAME

STORE_SECRET_NAME: Final = "peerkd-store"
STORE_KEYS: Final = {"access-key": "PEERKD_S3_ACCESS_KEY", "secret-key": "PEERKD_S3_SECRET_KEY"}


def with_settings(task: PipelineTask) -> PipelineTask:
    """Give a task the cluster's settings and the store's keys from the ConfigMap and the Secret of its namespace.

    The ConfigMap and the Secret are optional. If they were required and missing, the pod would wait forever without an
    error. A task that runs without keys ends with an error that names the keys.
    """
    kubernetes.use_config_map_as_env(task, SETTINGS_NAME, SETTINGS, optional=True)
    kubernetes.use_secret_as_env(task, STORE_SECRET_NAME, STORE_KEYS, optional=True)
    return task


def in_its_own_pod(task: PipelineTask) -> PipelineTask:
    """Request CPU and memory for a task that works in its own pod.

    This must not be used for tasks that launch jobs, because the requests of such a task are passed on to its workers.
    """
    return with_settings(task).set_cpu_request("250m").set_memory_request("1Gi").set_memory_limit("4Gi")


def launching(task: PipelineTask) -> PipelineTask:
    """Prepare a task that launches jobs and waits for them.

    KFP's cache is disabled, because it does not know whether the artifacts of an earlier run are still in the store.
    The task itself finds them there within seconds, and makes those that are missing.
    """
    return with_settings(task).set_caching_options(enable_caching=False)
