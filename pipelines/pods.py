"""The settings of the pods of all pipelines' tasks. They have no effect in a run on one machine."""

from typing import Final

from kfp import kubernetes
from kfp.dsl import PipelineTask

from peerkd.config.cluster import SETTINGS, SETTINGS_NAME

STORE_SECRET_NAME: Final = "peerkd-store"
STORE_KEYS: Final = {"access-key": "PEERKD_S3_ACCESS_KEY", "secret-key": "PEERKD_S3_SECRET_KEY"}


def with_settings(task: PipelineTask) -> PipelineTask:
    """Give a task the cluster's settings and the store's keys, if the namespace has them.

    Both are optional, because a pod waits forever for a missing Secret and prints no error, whereas a task without keys
    ends with an error that names them.
    """
    kubernetes.use_config_map_as_env(task, SETTINGS_NAME, SETTINGS, optional=True)
    kubernetes.use_secret_as_env(task, STORE_SECRET_NAME, STORE_KEYS, optional=True)
    return task


def in_its_own_pod(task: PipelineTask) -> PipelineTask:
    """Request CPU and memory for a task that works in its own pod.

    Tasks that launch jobs must not use this, because the requests of such a task are passed on to its workers.
    """
    return with_settings(task).set_cpu_request("250m").set_memory_request("1Gi").set_memory_limit("4Gi")


def launching(task: PipelineTask) -> PipelineTask:
    """Prepare a task that launches a job and waits for it.

    Caching is disabled: the inputs include the id of the run, so KFP would never find the task in its cache. The store
    knows which stages are done.
    """
    return with_settings(task).set_caching_options(enable_caching=False)
