"""What the pods of every pipeline's tasks are given by the cluster. A run on a laptop looks at none of it."""

from typing import Final

from kfp import kubernetes
from kfp.dsl import PipelineTask

from peerkd.config.cluster import SETTINGS, SETTINGS_NAME

STORE_SECRET_NAME: Final = "peerkd-store"
STORE_KEYS: Final = {"access-key": "PEERKD_S3_ACCESS_KEY", "secret-key": "PEERKD_S3_SECRET_KEY"}


def with_settings(task: PipelineTask) -> PipelineTask:
    """Give a task the cluster's settings and the store's keys, where the namespace has them.

    Both are optional: a pod that waits for a Secret that is not there waits for ever, and says nothing; a step without
    keys ends, and says what it lacks.
    """
    kubernetes.use_config_map_as_env(task, SETTINGS_NAME, SETTINGS, optional=True)
    kubernetes.use_secret_as_env(task, STORE_SECRET_NAME, STORE_KEYS, optional=True)
    return task


def in_its_own_pod(task: PipelineTask) -> PipelineTask:
    """Return a task that works in its own pod, with room to do so.

    Not for one that launches: what is asked for on that is asked for its workers.
    """
    return with_settings(task).set_cpu_request("250m").set_memory_request("1Gi").set_memory_limit("4Gi")


def launching(task: PipelineTask) -> PipelineTask:
    """Return a task that launches a job and waits for it.

    Its inputs name the run, so that KFP would never find it in its cache; whether the work is done, the store knows.
    """
    return with_settings(task).set_caching_options(enable_caching=False)
