"""``peerkd doctor``: it checks a cluster, or this machine if no cluster is configured, and proposes fixes."""

import json
from collections.abc import Iterable
from pathlib import Path

import typer

from peerkd.cli.idle_options import is_cluster_configured
from peerkd.cli.machine_checks import check_machine
from peerkd.cli.options import Experiment, Jobs
from peerkd.cli.wrapping import say
from peerkd.config.pipelines import find_pipeline
from peerkd.launch.doctor.check import CheckResult

_MARKS = {True: "ok", False: "NO", None: "??"}


def doctor(
    jobs: Jobs,
    *,
    namespace: str | None,
    task_account: str,
    as_json: bool,
    pipeline: str,
    experiment: Experiment,
    output: Path,
) -> int:
    """Print the result of each check, and return the exit code: 1 if one of them failed.

    This machine is checked if the options describe an experiment, or if no cluster is configured and no option is about
    a cluster. Otherwise the cluster is checked.

    Raises:
        ValueError: If a setting is wrong, if options of an experiment are given together with options of a cluster, or
            if an option is about a cluster and no cluster is configured.
    """
    is_about_cluster = jobs != Jobs() or namespace is not None
    if experiment != Experiment() and is_about_cluster:
        raise ValueError(
            "preset, config and set must not be given together with options of a cluster, because an experiment is "
            "checked on this machine."
        )
    if experiment != Experiment() or not (is_about_cluster or is_cluster_configured()):
        return _show(check_machine(find_pipeline(pipeline), experiment, output=output), as_json=as_json)
    # Imported here because a machine without a cluster may lack the packages.
    from peerkd.cli.cluster_checks import check_cluster

    return _show(check_cluster(jobs, namespace=namespace, task_account=task_account), as_json=as_json)


def line_of(result: CheckResult) -> str:
    """Return a result as text, with its fix in a second line."""
    line = f"{_MARKS[result.ok]}  {result.name}: {result.sentence}"
    return f"{line}\n    -> {result.fix}" if result.fix else line


def _show(checks: Iterable[CheckResult], *, as_json: bool) -> int:
    results: list[CheckResult] = []
    for result in checks:
        results.append(result)
        if not as_json:
            # Each result is printed immediately, because the next check may take a while.
            say(line_of(result))
    num_failed = sum(result.ok is False for result in results)
    if as_json:
        typer.echo(json.dumps([result._asdict() for result in results], indent=2))
    else:
        typer.echo(f"\n{len(results)} checks, {num_failed} failed.")
    return 1 if num_failed else 0
