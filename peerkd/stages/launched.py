"""Stages whose work is launched: the process that orders the work and waits for it. No torch, no arrays.

The artifact's key is computed here and in the worker by the same function, from the same texts.
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
from peerkd.launch.edge import stage_edge
from peerkd.launch.order import JobAccount, StageOrder
from peerkd.launch.worker import Worker
from peerkd.metrics.endpoint import recording
from peerkd.metrics.progress import say
from peerkd.stages.opened_store import open_stage_store

Config = TypeVar("Config", bound=StrictConfig)

IN_PROCESS: Final = LaunchConfig(backend="local", num_workers=0)
"""Launches nothing: the calling process does the work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchedStage(Generic[Config]):
    """The declaration of a stage that makes one artifact from a config and another artifact, by launched work.

    The work is the function ``perform(config, source, store, worker)`` of the module ``peerkd.stages.work.<name>``.
    """

    name: str
    """The stage's noun."""

    config: type[Config]
    """The class of the configs of its pipeline."""

    input_name: str
    """What the artifact that it reads is called."""

    key: Callable[[Config, Manifest], str]
    """Returns the key of what it makes."""

    summary: Callable[[Mapping[str, Any]], str]
    """Describes, in a few words, an artifact by its metadata."""

    num_processes: Callable[[Config], int] = lambda _: 1
    """Returns the number of processes that train one network together."""

    def run(
        self,
        *,
        config_json: str,
        store: str,
        launch: str,
        input_path: str,
        output_path: str,
        run_id: str = "",
        task_config: Any = None,
    ) -> None:
        """Have the artifact made, as a task of a pipeline.

        Args:
            config_json: The whole experiment as JSON.
            store: Address of the artifact store.
            launch: A ``LaunchConfig`` as JSON.
            input_path: File with the reference to the artifact that the stage reads.
            output_path: File that takes the reference to the artifact that it makes.
            run_id: Identifies the run of the pipeline; see ``open_backend``.
            task_config: What the pipeline's author set on the task: a mapping, or Kubeflow's ``dsl.TaskConfig``.
        """
        with stage_edge(self.name):
            opened = open_stage_store(self.name, store)
            made = self.make(
                self.config.from_json(config_json),
                references.follow_file(input_path, opened),
                opened,
                address=store,
                launch=LaunchConfig.from_json(launch),
                run_id=run_id,
                task_config=task_config,
            )
            references.write(output_path, made)

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
        """Return the artifact, after having it made if the store lacks it. By default the calling process makes it.

        Args:
            config: The whole experiment.
            source: The artifact that the stage reads.
            store: The artifact store.
            launch: Where the work is done.
            address: The store's address for the workers, unless the calling process does the work.
            run_id: As for ``run``.
            task_config: As for ``run``.

        Raises:
            ValueError: If the launch description, or what a worker found, can be fixed by the user.
            StageFailedError: If the work ended without the artifact.
        """
        key = self.key(config, source)
        done = store.find(key)
        if done:
            say(self.name, f"already done: {self.summary(done.metadata)}")
            # A worker of an earlier run that was killed after another had published may have left files behind.
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
        # All workers have ended, some of them perhaps killed before they could tidy up.
        store.clear_away(key)
        publish_accounts(accounts, key=key, store=store)
        return made

    def order(self, config: Config, source: Mapping[str, str], *, key: str, store: str) -> StageOrder:
        """Return the order for the workers.

        Args:
            config: The whole experiment.
            source: The reference to the artifact that the stage reads.
            key: The key of what it makes.
            store: Address of the artifact store.
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
        """Do a worker's part of the work, in the calling process."""
        done = store.find(self.key(config, source))
        if done:
            say(self.name, f"already done: {self.summary(done.metadata)}")
            return
        import_module(f"peerkd.stages.work.{self.name}").perform(config, source, store, worker)

    def _work_here(self, config: Config, source: Manifest, store: ArtifactStore) -> Sequence[JobAccount]:
        started = time.monotonic()
        with recording(self.name):
            self.work(config, source, store, Worker(is_in_process=True))
        seconds = time.monotonic() - started
        return [JobAccount(name="in-process", seconds=seconds, num_workers=1, gpus_per_worker=0)]


def check_num_processes(num_processes: int, *, num_workers: int) -> None:
    """Check that the processes of one training can be divided evenly among the workers.

    Raises:
        ValueError: If they cannot, or there are several and the calling process is to do the work (0 workers).
    """
    if num_processes > 1 and num_workers == 0:
        raise ValueError(
            "training.num_processes must be 1 where the number of workers is 0, which stands for no process but the "
            f"one that is running, got {num_processes}."
        )
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
