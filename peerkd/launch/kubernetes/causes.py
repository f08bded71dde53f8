"""The choice of the causes among the failures of pods: failures that are not consequences of other failures."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from peerkd.launch.kubernetes.pods import PodFailure


def first_failure(failures: Iterable[PodFailure]) -> PodFailure | None:
    """Return the earliest failure, which is usually the cause of all later failures.

    A disruption counts from the time of its announcement, although the pod ends later. Of several failures in the same
    second, a disruption that was announced counts as the earliest, and a deletion that was not announced as the latest.
    Return None if there is no failure.
    """
    return min(failures, key=_order, default=None)


def causes(failures: Sequence[PodFailure], *, are_restarted_together: bool) -> Sequence[PodFailure]:
    """Return the failures that are not consequences of other failures.

    Args:
        failures: The failures of a job's pods.
        are_restarted_together: Whether all workers are restarted if one fails. Of the failures between two restarts,
            only the first is then a cause. If not, each failure is a cause.
    """
    if not are_restarted_together:
        return failures
    by_restart: defaultdict[int, list[PodFailure]] = defaultdict(list)
    for failure in failures:
        by_restart[failure.num_restarts_before].append(failure)
    return [min(group, key=_order) for group in by_restart.values()]


def _order(failure: PodFailure) -> tuple[bool, str, bool, bool]:
    # The time of a failure that began unnoticed is unknown: it counts as later than all others.
    return not failure.began_at, failure.began_at, not failure.was_announced, failure.was_deleted
