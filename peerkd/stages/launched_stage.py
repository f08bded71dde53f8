"""Stages that launch workers. The code here runs in the process that orders the work and waits for it.

It imports neither torch nor numpy. This process and the workers receive the same config and the same reference to the
input artifact. From these, they compute the key of the output artifact with the same function.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Final, Generic, TypeVar

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.cluster import resolve_cluster
from peerkd.config.launch import LaunchConfig
from peerkd.config.strict import StrictConfig
from peerkd.errors import StageFailedError
from peerkd.launch.backends import choose_backend, open_backend
from peerkd.launch.gpus import gpus_of
from peerkd.launch.order import JobAccount, StageOrder
from peerkd.launch.worker import Worker
from peerkd.metrics.endpoint import recording
from peerkd.metrics.progress import print_line
from peerkd.stages.tracking import tracked

Config = TypeVar("Config", bound=StrictConfig)

IN_PROCESS: Final = LaunchConfig(backend="local", num_workers=0)
"""The launch description with 0 workers, with which the calling process does the work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchedStage(Generic[Config]):
    """The declaration of a stage whose workers compute one artifact from a config and another artifact.

    The function ``perform(config, source, store, worker)`` of the module ``peerkd.stages.work.<name>`` does the work.
    """

    name: str
    """The name of the stage, such as ``distill_pairs``."""

    read_config: Callable[[str], Config]
    """A function that reads the config of the pipeline from JSON."""

    input_name: str
    """The name of the input artifact, such as ``peers``."""

    key: Callable[[Config, Manifest], str]
    """A function that returns the key of the output artifact, given the config and the input artifact."""

    summary: Callable[[Mapping[str, Any]], str]
    """A function that describes an artifact in a few words, given its metadata."""

    num_processes: Callable[[Config], int] = lambda _: 1
    """A function that returns the number of processes that train one network together, given the config."""

    def make(
        self,
        config: Config,
        source: Manifest,
        store: ArtifactStore,
        *,
        launch: LaunchConfig = IN_PROCESS,
        address: str = "",
        run_id: str = "",
        task_config: Any = None,
    ) -> Manifest:
        """Compute the output artifact unless the store has it already, and return its manifest.

        By default, the calling process does the work.

        Args:
            config: The whole experiment.
            source: The input artifact.
            store: The artifact store.
            launch: The launch description.
            address: The address of the store, for workers. It is not needed if the calling process does the work.
            run_id: The id of the run of the pipeline, which becomes a part of the names of jobs. If it is empty, it is
                derived from the order, so that a repeated order finds its job.
            task_config: The task's settings for Kubernetes: a mapping, or Kubeflow's ``dsl.TaskConfig``.

        Raises:
            ValueError: If the launch description is wrong, or a worker found an error that the user can fix.
            StageFailedError: If the work ended without the artifact.
        """
        key = self.key(config, source)
        done = store.find(key)
        if done:
            print_line(self.name, f"already done: {self.summary(done.metadata)}")
            # In an earlier run, a worker may have been killed after another one published the artifact, and left files
            # behind.
            store.clear_away(key)
            return done
        num_processes = self.num_processes(config)
        if choose_backend(launch) == "in_process":
            check_num_processes(num_processes, num_workers=0)
            accounts = self._work_here(config, source, store)
        else:
            if task_config is not None and not isinstance(task_config, Mapping):
                task_config = asdict(task_config)
            cluster = resolve_cluster(launch, task_config=task_config)
            check_num_processes(num_processes, num_workers=cluster.num_workers)
            order = self.order(config, references.reference(source), key=key, store=address)
            accounts = open_backend(launch, cluster=cluster, run_id=run_id).run(order)
        made = store.find(key)
        if made is None:
            raise StageFailedError(
                f"{self.name} ended without {key} in the store {address}: its workers must see the same store and run "
                "the same version."
            )
        # All workers have ended, and some may have been killed before they could delete their files.
        store.clear_away(key)
        publish_accounts(accounts, key=key, store=store)
        return made

    def order(self, config: Config, source: Mapping[str, str], *, key: str, store: str) -> StageOrder:
        """Return the order with which a backend starts the workers.

        Args:
            config: The whole experiment.
            source: The reference to the input artifact.
            key: The key of the output artifact.
            store: The address of the artifact store.
        """
        return StageOrder(
            stage=self.name,
            config_json=config.to_json(),
            store=store,
            inputs={self.input_name: source},
            key=key,
            num_processes=self.num_processes(config),
        )

    def work(self, config: Config, source: Manifest, store: ArtifactStore, worker: Worker) -> None:
        """Do the work of one worker in the calling process."""
        done = store.find(self.key(config, source))
        if done:
            print_line(self.name, f"already done: {self.summary(done.metadata)}")
            return
        import_module(f"peerkd.stages.work.{self.name}").perform(config, source, store, worker)

    def _work_here(self, config: Config, source: Manifest, store: ArtifactStore) -> Sequence[JobAccount]:
        started = time.monotonic()
        with recording(self.name), tracked(self.name, config, store):
            self.work(config, source, store, Worker(is_in_process=True))
        seconds = time.monotonic() - started
        # One process uses one GPU.
        num_gpus = min(len(gpus_of(config.to_json())), 1)
        return [JobAccount(name="in-process", seconds=seconds, num_workers=1, gpus_per_worker=num_gpus)]


def check_num_processes(num_processes: int, *, num_workers: int) -> None:
    """Check that the processes of one training can be divided evenly among the workers.

    Raises:
        ValueError: If the processes cannot be divided evenly, or if there are several processes but the calling process
            does the work (``num_workers`` is 0).
    """
    if num_processes > 1 and num_workers == 0:
        raise ValueError(
            "training.num_processes must be 1 if the number of workers is 0, because the calling process then does all "
            f"the work, got {num_processes}."
        )
    if num_processes > 1 and num_processes % num_workers:
        raise ValueError(
            f"training.num_processes must be a multiple of the number of workers ({num_workers}), got {num_processes}."
        )


def publish_accounts(accounts: Sequence[JobAccount], *, key: str, store: ArtifactStore) -> None:
    """Publish the accounts of the jobs that computed an artifact.

    The accounts have a key of their own, because they differ from run to run and are not part of the artifact.

    Args:
        accounts: The accounts.
        key: The key of the artifact.
        store: The artifact store.
    """
    accounts_key = key_of_accounts(key)
    if accounts and store.find(accounts_key) is None:
        with store.open_workspace(accounts_key):
            store.publish(accounts_key, metadata={"of": key, "jobs": [asdict(account) for account in accounts]})


def find_accounts(key: str, store: ArtifactStore) -> list[JobAccount]:
    """Return the accounts of an artifact's jobs; an empty list if none were published."""
    found = store.find(key_of_accounts(key))
    return [JobAccount(**job) for job in found.metadata["jobs"]] if found else []


def key_of_accounts(key: str) -> str:
    """Return the key under which the accounts of an artifact's jobs are published."""
    return f"accounts/{key.replace('/', '-')}"
