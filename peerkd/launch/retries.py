"""How long the services of a cluster may fail: the Kubernetes API and a Kubeflow Pipelines server."""

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.retry import Limit, Retries

FORGIVENESS_SECONDS: Final = 45.0
"""How long refusals are waited out: a server that has just started may refuse clients that it knew a minute ago."""

UNKNOWN_CLIENT: Final = frozenset({301, 302, 303, 307, 308, 401, 403})
"""Statuses of a server, or of a proxy in front of it, that does not know the client. A redirect leads to a login."""

_FIRST_CONTACT_SECONDS: Final = 60.0
"""How long a service may fail that has never answered: its address is probably wrong."""
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 8.0
_PASSING: Final = frozenset({408, 425, 429})

ClusterError = ClusterUnavailableError | ClusterRefusedError


def may_pass(status: int) -> bool:
    """Return whether the same request may succeed later, by the HTTP status of its answer."""
    return status in _PASSING or status >= 500


class ClusterRetries(Retries[ClusterError]):
    """Failures in a row of a service of the cluster, each followed by a longer wait."""

    def __init__(
        self,
        limit_seconds: float,
        *,
        has_answered: bool = False,
        forgiven: Collection[int] = UNKNOWN_CLIENT,
        on_failure: Callable[[ClusterError, int], None] = lambda error, number: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Begin with no failures.

        Args:
            limit_seconds: How long the service may fail.
            has_answered: Whether it has answered before. If not, it may fail for a minute at most, and no refusal is
                waited out.
            forgiven: Statuses of refusals that are waited out for ``FORGIVENESS_SECONDS``.
            on_failure: Called with each failure and its number in the row, before the wait.
            clock: Returns seconds, and never goes back.
            sleep: Waits.
        """
        super().__init__(
            (ClusterUnavailableError, ClusterRefusedError),
            partial(limit_of, limit_seconds=limit_seconds, forgiven=forgiven),
            has_answered=has_answered,
            first_wait_seconds=_FIRST_WAIT_SECONDS,
            longest_wait_seconds=_LONGEST_WAIT_SECONDS,
            on_failure=on_failure,
            clock=clock,
            sleep=sleep,
        )


def limit_of(error: ClusterError, has_answered: bool, *, limit_seconds: float, forgiven: Collection[int]) -> Limit:
    """Return how long an error of a service is waited out."""
    if isinstance(error, ClusterRefusedError):
        is_forgiven = has_answered and error.status in forgiven
        # Counted from the first refusal: a server that was away for long may not know its users when it is back.
        return Limit(
            seconds=min(limit_seconds, FORGIVENESS_SECONDS) if is_forgiven else 0.0,
            final_error=lambda _: error,
            counts_own_time=True,
        )
    reason = str(error).rstrip(".")
    return Limit(
        seconds=limit_seconds if has_answered else min(limit_seconds, _FIRST_CONTACT_SECONDS),
        final_error=lambda seconds: ClusterUnavailableError(f"{reason}; this has gone on for {seconds:.0f} s."),
    )
