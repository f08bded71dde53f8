"""The checks of ``peerkd doctor`` on a cluster. This module needs the extra ``cluster``."""

from collections.abc import Iterator, Mapping

from peerkd.cli.options import Jobs
from peerkd.config.cluster import ClusterConfig, resolve_cluster
from peerkd.launch.doctor.check import CheckResult
from peerkd.launch.doctor.examine import examine
from peerkd.launch.kubernetes.client import connect


def check_cluster(jobs: Jobs, *, namespace: str | None, task_account: str) -> Iterator[CheckResult]:
    """Yield the result of each check of a cluster as soon as it is known.

    Raises:
        ValueError: If a setting is wrong, or no cluster is configured.
    """
    launch = jobs.launch("kubernetes")
    settings = resolve_cluster(launch)
    cluster = connect(namespace=namespace or settings.namespace)

    def resolve(environment: Mapping[str, str]) -> ClusterConfig:
        return resolve_cluster(launch, environment=environment)

    return iter(examine(cluster, settings, store_address=jobs.store or "", resolve=resolve, task_account=task_account))
