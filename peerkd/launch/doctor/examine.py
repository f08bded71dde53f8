"""All checks of a cluster, in order."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.doctor import access, admission, api, capacity, configuration, namespace, queue
from peerkd.launch.doctor.check import CheckResult
from peerkd.launch.doctor.occupancy import Object, list_pods
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import JOB_KINDS
from peerkd.launch.kubernetes.kinds.choice import choose_kind
from peerkd.launch.kubernetes.manifest import trainer_image

_PACKAGES: Final = ("peerkd", "kubernetes", "kubeflow-training", "kfp", "minio")
_NEEDED_PACKAGES: Final = ("kubernetes", "kubeflow-training")

Check = Callable[[], CheckResult | None]


def examine(
    cluster: Cluster,
    local: ClusterConfig,
    *,
    store_address: str,
    resolve: Callable[[Mapping[str, str]], ClusterConfig],
    task_account: str = access.TASK_ACCOUNT,
) -> Iterator[CheckResult]:
    """Yield the result of each check.

    If the cluster does not answer, the remaining checks of the cluster are omitted, and the store is checked next.

    Args:
        cluster: The cluster, with the namespace in which jobs are created.
        local: The settings of jobs that this machine launches.
        store_address: The address of the artifact store; empty if the store is not to be checked.
        resolve: A function that returns the settings with which a launcher creates jobs, given the launcher's
            environment variables.
        task_account: The service account under which the tasks of pipelines run.
    """
    yield check_versions()
    settings, kind, store = local, JOB_KINDS[0], store_address

    def check_settings() -> CheckResult:
        nonlocal settings, kind
        settings, result = configuration.check_settings_of_tasks(cluster, local, resolve)
        # The check of the kind reports a cluster that serves none.
        with contextlib.suppress(ClusterRefusedError, ClusterUnavailableError):
            kind = choose_kind(settings.job_kind, cluster)
        return result

    # A large cluster has many pods, so they are listed once.
    @cache
    def pods() -> Sequence[Object] | None:
        return list_pods(cluster)

    def check_folder() -> CheckResult | None:
        nonlocal store
        result = configuration.check_shared_folder(settings, store_address)
        # Otherwise no sample of a job could be made.
        store = store_address if result is None or result.ok else ""
        return result

    checks: list[Check] = [
        lambda: api.check_reachable(cluster),
        lambda: namespace.check_namespace(cluster),
        check_settings,
        lambda: access.check_access(cluster, [kind]),
        lambda: access.check_task_access(cluster, task_account, [kind]) if api.has_workflows(cluster) else None,
        lambda: api.check_kind(cluster, kind),
        lambda: api.check_controller(cluster, kind),
        lambda: api.check_workflows(cluster),
        lambda: api.check_kueue(cluster, settings),
        lambda: queue.check_queue(cluster, settings),
        lambda: queue.check_cluster_queue(cluster, settings),
        lambda: queue.check_topology(cluster, settings),
        lambda: admission.check_service_account(cluster, settings),
        lambda: configuration.check_secret(cluster, settings.store_secret),
        check_folder,
        lambda: admission.check_job(cluster, settings, store, kind),
        lambda: admission.check_policy(cluster, settings, store, kind),
        lambda: admission.check_worker(cluster, settings, store, kind),
        lambda: admission.check_image(cluster, settings),
        lambda: _check_local_image(cluster, local, settings),
        lambda: capacity.check_quota(cluster, settings, [kind]),
        lambda: capacity.check_nodes(cluster, settings, pods),
        lambda: capacity.check_gpus(cluster, settings, pods),
    ]
    for each in checks:
        try:
            result = each()
        except ClusterUnavailableError as error:
            yield CheckResult(
                "cluster", False, str(error), "Check KUBECONFIG, and the network between this machine and the cluster."
            )
            break
        if result is not None:
            yield result
    if store_address:
        yield from configuration.check_artifacts(store_address)
    else:
        fix = "Give --store the address of the store, as in s3://peerkd/runs."
        yield CheckResult("store", None, "The store was not checked.", fix)


def _check_local_image(cluster: Cluster, local: ClusterConfig, settings: ClusterConfig) -> CheckResult | None:
    """Check the image of the jobs that this machine launches.

    Return None if the jobs that pipelines launch in the cluster have the same image, which is then checked anyway.
    """
    if trainer_image(local, os.environ) == trainer_image(settings, os.environ):
        return None
    result = admission.check_image(cluster, local)
    return result._replace(
        name="image from here",
        sentence=f"Jobs that this machine launches have another image: {result.sentence}",
        # A failure may not matter, because this machine need not launch jobs.
        ok=result.ok or None,
        fix=result.fix or "Set image in PEERKD_CLUSTER_FILE, or PEERKD_TRAINER_IMAGE, if that is not intended.",
    )


def check_versions() -> CheckResult:
    """Check that the required packages are installed, and list their versions for support requests."""
    found = {package: _version(package) for package in _PACKAGES}
    text = ", ".join(f"{package} {number or 'absent'}" for package, number in found.items())
    if not all(found.get(package) for package in _NEEDED_PACKAGES):
        return CheckResult("versions", False, f"{text}.", "Install peerkd with its extra cluster.")
    return CheckResult("versions", True, f"{text}.")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
