"""All checks, one after another."""

import os
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterUnavailableError
from peerkd.launch.doctor import access, admission, api, capacity, namespace, policy, queue, store, tasks
from peerkd.launch.doctor.finding import Finding
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.manifest import trainer_image

_PACKAGES: Final = ("peerkd", "kubernetes", "kubeflow-training", "kfp", "minio")


def examine(
    cluster: Cluster,
    here: ClusterConfig,
    *,
    store_address: str,
    resolve: Callable[[Mapping[str, str]], ClusterConfig],
    task_account: str = access.TASK_ACCOUNT,
) -> Iterator[Finding]:
    """Yield the finding of each check, beginning with the cluster itself; end if the cluster does not answer.

    Args:
        cluster: The cluster, with the namespace in which jobs are created.
        here: Settings of jobs that are launched from this machine.
        store_address: Address of the artifact store; empty to leave the store out.
        resolve: Returns the settings that a launcher with these environment variables uses.
        task_account: The service account that the tasks of pipelines run as.
    """
    yield check_versions()
    settings = here

    def check_settings() -> Finding:
        nonlocal settings
        settings, finding = tasks.settings_of_tasks(cluster, here, resolve)
        return finding

    checks: list[Callable[[], Finding | None]] = [
        lambda: api.check_reachable(cluster),
        lambda: namespace.check_namespace(cluster),
        check_settings,
        lambda: access.check_access(cluster),
        lambda: access.check_task_access(cluster, task_account) if api.has_workflows(cluster) else None,
        lambda: api.check_pytorchjobs(cluster),
        lambda: api.check_operator(cluster),
        lambda: api.check_workflows(cluster),
        lambda: api.check_kueue(cluster, settings),
        lambda: queue.check_queue(cluster, settings),
        lambda: queue.check_cluster_queue(cluster, settings),
        lambda: admission.check_service_account(cluster, settings),
        lambda: store.check_secret(cluster, settings.store_secret),
        lambda: admission.check_job(cluster, settings, store_address),
        lambda: policy.check_policy(cluster, settings, store_address),
        lambda: admission.check_worker(cluster, settings, store_address),
        lambda: admission.check_image(cluster, settings, store_address),
        lambda: _check_image_here(cluster, here, settings, store_address),
        lambda: capacity.check_quota(cluster, settings),
        lambda: capacity.check_nodes(cluster, settings),
    ]
    for each in checks:
        try:
            found = each()
        except ClusterUnavailableError as error:
            yield Finding(
                "cluster", False, str(error), "Look at KUBECONFIG, and at the network between here and there."
            )
            break
        if found is not None:
            yield found
    if store_address:
        yield from store.check_artifacts(store_address)
    else:
        yield Finding("store", None, "The store was not checked.", "Give --store its address, as in s3://peerkd/runs.")


def _check_image_here(cluster: Cluster, here: ClusterConfig, settings: ClusterConfig, store: str) -> Finding | None:
    """Check the image of jobs that are launched from this machine, if it differs from that of the tasks."""
    image = trainer_image(here, os.environ)
    if image == trainer_image(settings, os.environ):
        return None
    found = admission.check_image(cluster, here, store)
    return found._replace(
        name="image from here",
        sentence=f"Jobs that are launched from this machine have another image: {found.sentence}",
        # Jobs need not be launched from here.
        ok=found.ok or None,
        mend=found.mend or "Set image in PEERKD_CLUSTER_FILE, or PEERKD_TRAINER_IMAGE, if that is not intended.",
    )


def check_versions() -> Finding:
    """Name the installed versions, for people who are asked for help."""
    found = {package: _version(package) for package in _PACKAGES}
    told = ", ".join(f"{package} {number or 'absent'}" for package, number in found.items())
    lacking = [package for package in ("kubernetes", "kubeflow-training") if not found.get(package)]
    if lacking:
        return Finding("versions", False, f"{told}.", "Install peerkd with its extra cluster.")
    return Finding("versions", True, f"{told}.")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
