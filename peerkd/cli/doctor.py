"""``peerkd doctor``: checks of a cluster, and fixes for failed checks."""

import json
from collections.abc import Mapping

import typer

from peerkd.cli.options import Jobs
from peerkd.config.cluster import ClusterConfig, resolve_cluster
from peerkd.launch.doctor.check import CheckResult
from peerkd.launch.doctor.examine import examine
from peerkd.launch.kubernetes.client import connect
from peerkd.launch.kubernetes.kinds import JOB_KINDS

_MARKS = {True: "ok", False: "NO", None: "??"}


def doctor(jobs: Jobs, *, namespace: str | None, task_account: str, as_json: bool) -> int:
    """Print the result of each check, and return the exit code: 1 if one of them failed.

    Raises:
        ValueError: If a setting is wrong, or no cluster is configured.
    """
    launch = jobs.launch("kubernetes")
    settings = resolve_cluster(launch)
    cluster = connect(namespace=namespace or settings.namespace)

    def resolve(environment: Mapping[str, str]) -> ClusterConfig:
        return resolve_cluster(launch, environment=environment)

    results: list[CheckResult] = []
    for result in examine(
        cluster, settings, JOB_KINDS, store_address=jobs.store or "", resolve=resolve, task_account=task_account
    ):
        results.append(result)
        if not as_json:
            # Each result is printed immediately, because the next check may take a while.
            typer.echo(line_of(result))
    num_failed = sum(result.ok is False for result in results)
    if as_json:
        typer.echo(json.dumps([result._asdict() for result in results], indent=2))
    else:
        typer.echo(f"\n{len(results)} checks, {num_failed} failed.")
    return 1 if num_failed else 0


def line_of(result: CheckResult) -> str:
    """Return a result as text, with its fix in a second line."""
    line = f"{_MARKS[result.ok]}  {result.name}: {result.sentence}"
    return f"{line}\n    -> {result.fix}" if result.fix else line
