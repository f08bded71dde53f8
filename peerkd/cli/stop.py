"""``peerkd stop``: it ends a run on this machine, on a cluster or on Kubeflow Pipelines. The run can be continued."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from peerkd.cli.idle_options import is_cluster_configured
from peerkd.cli.options import StorePlace
from peerkd.cli.resuming import how_to_continue
from peerkd.cli.runs import runs_of
from peerkd.cli.wrapping import say
from peerkd.errors import PeerKDError
from peerkd.excerpt import plain_path
from peerkd.launch.invocations.files import Invocation, find_invocations, list_invocations
from peerkd.launch.invocations.status import FINISHED, RUNNING
from peerkd.stages.open_runs import DEFAULT_OUTPUT, invocations_of
from peerkd.stages.stored_runs import StoredRun, find_run

_PATIENCE_SECONDS: Final = 60.0
"""How long a run has to end after SIGTERM. Its workers have a few seconds to save their progress."""

_INTERVAL_SECONDS: Final = 0.1


def stop(
    place: StorePlace, text: str, *, namespace: str | None = None, wait: Callable[[float], None] = time.sleep
) -> None:
    """End a run, and print how it is continued.

    A run of this machine ends as by Ctrl-C. If another machine launched the run on a cluster, its job is deleted.

    Args:
        place: The options that name the store.
        text: The name of the run.
        namespace: The namespace of the jobs; None for the namespace of the settings.
        wait: A function that waits for a number of seconds.

    Raises:
        ValueError: If the options name no store, or the text does not name one run that is in progress and can be ended
            from here.
        PeerKDError: If the run does not end, or the cluster refuses.
    """
    address = place.address
    # A folder of --output records its invocations even if their store is elsewhere.
    invocations = list_invocations(Path(address)) if place.store is None else invocations_of(address)
    invocation = _find_invocation(invocations, text)
    if invocation is not None:
        _end_process(invocation, address=invocation.status.store or address, wait=wait)
        return
    _, runs = runs_of(place)
    run = find_run(runs, text)
    _check_stoppable(run, output=str(place.output or DEFAULT_OUTPUT))
    _delete_job(run, address=address, namespace=namespace)


def _find_invocation(invocations: Sequence[Invocation], text: str) -> Invocation | None:
    """Return the last invocation of the named run, which is in progress on this machine. Return None if it has ended.

    Raises:
        ValueError: If it is in progress on another machine.
    """
    try:
        invocation = find_invocations(invocations, text)[0]
    except ValueError:
        # The store may have the run nevertheless.
        return None
    process = invocation.process
    # A file system without locks cannot tell that a process is alive, but its machine can.
    if invocation.status.state == RUNNING and process is not None and process.is_alive:
        return invocation
    if invocation.state != RUNNING:
        return None
    where = f"is process {process.pid} of {process.host}" if process else "was started by an earlier version of peerkd"
    raise ValueError(
        f"RUN must be a run of this machine, got {invocation.title}, which {where}; end it there with 'peerkd stop' or "
        "Ctrl-C."
    )


def _end_process(invocation: Invocation, *, address: str, wait: Callable[[float], None]) -> None:
    process, name = invocation.process, invocation.title
    assert process is not None
    try:
        process.terminate()
    except PermissionError as error:
        raise ValueError(
            f"RUN must be a run of yours, got {name}, whose process {process.pid} belongs to another user."
        ) from error
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while process.is_alive:
        if time.monotonic() >= deadline:
            raise PeerKDError(
                f"{name} has received SIGTERM and has not ended within {_PATIENCE_SECONDS:.0f} s; a second 'peerkd "
                f"stop' kills its process {process.pid}."
            )
        wait(_INTERVAL_SECONDS)
    ended = Invocation.read(invocation.folder) or invocation
    if ended.state == FINISHED:
        say(f"{name}: finished before it could be stopped")
        return
    say(f"{ended.title}: {ended.state}")
    pipeline, _, strategy = ended.status.pipeline.partition(" ")
    say(how_to_continue(ended.run_key or "", pipeline=pipeline, strategy=strategy or None, address=address))


def _check_stoppable(run: StoredRun, *, output: str) -> None:
    if run.is_finished:
        raise ValueError(f"RUN must be a run in progress, got {run.name}, which is finished.")
    if run.next_key is None or not is_cluster_configured():
        raise ValueError(
            f"RUN must be a run in progress, got {run.name}, which is {run.state}: no 'peerkd run' with --output "
            f"{plain_path(output)} executes it on this machine, and no cluster is configured here."
        )


def _delete_job(run: StoredRun, *, address: str, namespace: str | None) -> None:
    assert run.next_key is not None
    # Imported here because a machine without a cluster may lack the packages.
    from peerkd.config.cluster import resolve_cluster
    from peerkd.launch.kubernetes.client import connect
    from peerkd.launch.kubernetes.stop import stop_jobs

    cluster = connect(namespace=namespace or resolve_cluster().namespace)
    for name in stop_jobs(cluster, key=run.next_key, store=address, run_name=run.name):
        say(f"{run.name}: the job {name} is deleted; its launcher ends with an error that says so")
    say(how_to_continue(run.key, pipeline=run.pipeline, strategy=run.strategy, address=address))
