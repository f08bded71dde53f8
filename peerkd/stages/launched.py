"""Stages whose work is launched: what the process does that orders it, and then waits. No torch, no arrays.

The artifact's key is computed here and in the worker by the same function, from the same texts.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.cluster import CLUSTER_FILE_VARIABLE, ClusterConfig, check_placement, resolve_cluster
from peerkd.errors import StageFailedError
from peerkd.launch.backends import open_backend
from peerkd.launch.order import JobAccount, StageOrder
from peerkd.metrics.progress import say


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchOptions:
    """Where and how widely a stage's work is done, as a person or a pipeline says it."""

    backend: str = "auto"
    num_workers: str = ""
    gpus: str = ""
    cluster: str = ""
    run_id: str = ""
    task_id: str = ""
    task_config: Any = None
    """A mapping, or Kubeflow's ``dsl.TaskConfig``."""


def obtain(
    key: str,
    *,
    stage: str,
    config_json: str,
    address: str,
    store: ArtifactStore,
    inputs: Mapping[str, Manifest],
    summary: Callable[[Mapping[str, Any]], str],
    options: LaunchOptions,
    num_processes: int = 1,
) -> Manifest:
    """Return the artifact under a key, after having it made if it is not there.

    Args:
        key: What the stage makes.
        stage: Its noun.
        config_json: The whole experiment.
        address: Of the store, as the workers are to be told.
        store: The same, opened.
        inputs: Artifacts that the stage reads, by name.
        summary: Says in a few words what the artifact's metadata tell.
        options: Where to have it made.
        num_processes: Above 1, processes that train one network together.

    Raises:
        ValueError: If the options, or what a worker found, can be mended by the user.
        StageFailedError: If the work ended without the artifact.
    """
    done = store.find(key)
    if done:
        say(stage, f"already done: {summary(done.metadata)}")
        # A worker of an earlier run that was killed after another had published may have left files behind.
        store.clear_away(key)
        return done
    cluster = resolve(options)
    check_num_processes(num_processes, num_workers=cluster.num_workers)
    order = StageOrder(
        stage=stage,
        config_json=config_json,
        store=address,
        inputs={name: references.reference(manifest) for name, manifest in inputs.items()},
        key=key,
        num_processes=num_processes,
    )
    backend = open_backend(options.backend, cluster=cluster, run_id=options.run_id, task_id=options.task_id)
    accounts = backend.run(order)
    made = store.find(key)
    if made is None:
        raise StageFailedError(
            f"{stage} ended without {key} in the store {address}: its workers must see the same store and run the same "
            "version."
        )
    # All workers have ended, some of them perhaps killed before they could tidy up.
    store.clear_away(key)
    publish_accounts(accounts, key=key, store=store)
    return made


def resolve(options: LaunchOptions) -> ClusterConfig:
    """Return the settings that the workers are started with.

    Raises:
        ValueError: If a setting breaks a rule, or would have no effect on this backend.
    """
    check_placement(options.backend, gpus=options.gpus, cluster=options.cluster)
    file = os.environ.get(CLUSTER_FILE_VARIABLE)
    task_config = options.task_config or {}
    if not isinstance(task_config, Mapping):
        task_config = asdict(task_config)
    # "0" is also what a pipeline says whose user chose nothing: then the author's choice for the task stands.
    gpus = "" if options.gpus == "0" and task_config.get("resources") else options.gpus
    return resolve_cluster(
        options.cluster,
        num_workers=options.num_workers,
        gpus=gpus,
        file=Path(file) if file else None,
        task_config=task_config,
    )


def check_num_processes(num_processes: int, *, num_workers: int) -> None:
    """Refuse processes of one training that cannot be dealt out evenly to the workers."""
    if num_processes > 1 and num_processes % num_workers:
        raise ValueError(
            f"training.num_processes must be a multiple of the number of workers ({num_workers}), got {num_processes}."
        )


def publish_accounts(accounts: Sequence[JobAccount], *, key: str, store: ArtifactStore) -> None:
    """Keep what the making of an artifact took, beside it, for reports: it is no part of what was made."""
    accounts_key = key_of_accounts(key)
    if accounts and store.find(accounts_key) is None:
        with store.open_workspace(accounts_key):
            store.publish(accounts_key, metadata={"of": key, "jobs": [asdict(account) for account in accounts]})


def find_accounts(key: str, store: ArtifactStore) -> list[JobAccount]:
    """Return what the making of an artifact took; nothing, where nobody kept it."""
    found = store.find(key_of_accounts(key))
    return [JobAccount(**job) for job in found.metadata["jobs"]] if found else []


def key_of_accounts(key: str) -> str:
    """Return the key under which the accounts of an artifact are kept."""
    return f"accounts/{key.replace('/', '-')}"
