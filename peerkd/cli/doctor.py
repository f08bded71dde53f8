"""``peerkd doctor``: what a cluster lacks, and how to fix it."""

import json
from collections.abc import Mapping

import typer

from peerkd.cli.options import Jobs
from peerkd.config.cluster import ClusterConfig, resolve_cluster
from peerkd.launch.doctor.examine import examine
from peerkd.launch.doctor.finding import Finding
from peerkd.launch.kubernetes.client import connect

_MARKS = {True: "ok", False: "NO", None: "??"}


def doctor(jobs: Jobs, *, namespace: str | None, task_account: str, as_json: bool) -> int:
    """Print what each check finds, and return the exit code: 1 if one of them failed.

    Raises:
        ValueError: If a setting is wrong, or no cluster is configured.
    """
    launch = jobs.launch("kubernetes")
    settings = resolve_cluster(launch)
    cluster = connect(namespace=namespace or settings.namespace)

    def resolve(environment: Mapping[str, str]) -> ClusterConfig:
        return resolve_cluster(launch, environment=environment)

    findings: list[Finding] = []
    for finding in examine(
        cluster, settings, store_address=jobs.store or "", resolve=resolve, task_account=task_account
    ):
        findings.append(finding)
        if not as_json:
            # Each is printed at once, because the next check may take a while.
            typer.echo(line_of(finding))
    num_failed = sum(finding.ok is False for finding in findings)
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        typer.echo(f"\n{len(findings)} checks, {num_failed} failed.")
    return 1 if num_failed else 0


def line_of(finding: Finding) -> str:
    """Return a finding as text, with what to do about it in a second line."""
    line = f"{_MARKS[finding.ok]}  {finding.name}: {finding.sentence}"
    return f"{line}\n    -> {finding.mend}" if finding.mend else line
