"""Checks of a store in a folder that pods share. Such a store is an alternative to a store in S3.

Every pod has a file system of its own. If the folder were not mounted from a volume, each pod would silently have a
store of its own, and what one pod writes would be lost when it ends.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from peerkd.artifacts.open import S3_SCHEME
from peerkd.config.cluster import ClusterConfig
from peerkd.excerpt import plain_path
from peerkd.launch.order import POD_VARIABLE

_RULE: Final = "store must be s3://bucket/prefix, or a folder on a volume that all pods mount"


def check_workers_folder(store: str, cluster: ClusterConfig) -> None:
    """Check that the workers of a job mount the folder of a store from a volume that they share, and may write to it.

    Args:
        store: The address of the store. An address in S3 is always valid.
        cluster: The settings of the workers, with their volumes.

    Raises:
        ValueError: If the workers do not mount the folder, or each worker has a volume of its own there.
    """
    if not store or store.startswith(S3_SCHEME):
        return
    mount = _deepest(store, cluster.volume_mounts)
    if mount is None:
        raise ValueError(
            f"{_RULE}, got {plain_path(store)}, which no entry of volume_mounts in the settings of the jobs contains."
        )
    if mount.get("readOnly"):
        raise ValueError(f"{_RULE}, got {plain_path(store)}, which workers mount with readOnly: true.")
    volume = next((each for each in cluster.volumes if each.get("name") == mount.get("name")), {})
    if "emptyDir" in volume or "ephemeral" in volume:
        raise ValueError(
            f"{_RULE}, got {plain_path(store)} on the volume {mount.get('name')}, of which each worker has its own."
        )


def check_task_folder(
    store: str,
    *,
    environment: Mapping[str, str] = os.environ,
    is_mount: Callable[[Path], bool] = os.path.ismount,
) -> None:
    """Check that a task of Kubeflow Pipelines mounts the folder of a store.

    In a process that is not such a task, nothing is checked.

    Args:
        store: The address of the store. An address in S3 is always valid.
        environment: Variables that show whether this process is a task of a pipeline.
        is_mount: A function that returns whether a path is a mount point.

    Raises:
        ValueError: If this process is a task of a pipeline, and no folder of the path except the root is a mount point.
    """
    if store.startswith(S3_SCHEME) or not environment.get(POD_VARIABLE):
        return
    folder = Path(store).absolute()
    if not any(is_mount(each) for each in (folder, *folder.parents[:-1])):
        raise ValueError(
            f"{_RULE}, got {plain_path(store)}: this task mounts no volume there, so the store would be lost with its "
            "pod."
        )


def check_pipeline_folder(store: str, documents: Iterable[Mapping[str, Any]]) -> None:
    """Check that all tasks of a compiled pipeline mount the folder of a store from a PersistentVolumeClaim.

    Args:
        store: The address of the store. An address in S3 is always valid.
        documents: The YAML documents of the pipeline, as in ``Package.documents``.

    Raises:
        ValueError: If a task does not mount the folder.
    """
    if store.startswith(S3_SCHEME):
        return
    mounts: dict[str, Iterable[Mapping[str, Any]]] = {}
    tasks: set[str] = set()
    for document in documents:
        tasks |= set((document.get("deploymentSpec") or {}).get("executors") or {})
        settings = ((document.get("platforms") or {}).get("kubernetes") or {}).get("deploymentSpec") or {}
        mounts |= {task: each.get("pvcMount") or () for task, each in (settings.get("executors") or {}).items()}
    for task in sorted(tasks):
        if _deepest(store, mounts.get(task, ())) is None:
            raise ValueError(
                f"{_RULE}, got {plain_path(store)}, which the task {task.removeprefix('exec-')} does not mount: use "
                "--claim NAME=PATH."
            )


def _deepest(store: str, mounts: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the mount that contains a folder, or None if none does.

    If several do, the one with the longest path hides the others.
    """
    folder = Path(os.path.normpath(store))
    paths = [(Path(str(each["mountPath"])), each) for each in mounts if each.get("mountPath")]
    found = [(len(path.parts), each) for path, each in paths if folder.is_relative_to(path)]
    return max(found, key=lambda each: each[0])[1] if found else None
