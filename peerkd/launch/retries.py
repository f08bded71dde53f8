"""The retry policy for the services of a cluster: the Kubernetes API and a Kubeflow Pipelines server."""

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.retry import Limit, Retries

REFUSAL_SECONDS: Final = 45.0
"""The time for which refusals are retried: a restarted server may refuse known clients for a moment."""

UNKNOWN_CLIENT: Final = frozenset({301, 302, 303, 307, 308, 401, 403})
"""The HTTP statuses with which a server, or a proxy in front of it, answers a client that it does not know.

They include redirects, because a proxy redirects unknown clients to a login page."""

_FIRST_CONTACT_SECONDS: Final = 60.0
"""The time for which a service that has never answered is retried. Its address is probably wrong."""
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 8.0
_PASSING: Final = frozenset({408, 425, 429})

ClusterError = ClusterUnavailableError | ClusterRefusedError


def may_pass(status: int) -> bool:
    """Return whether a request that was answered with this HTTP status may succeed later."""
    return status in _PASSING or status >= 500


class ClusterRetries(Retries[ClusterError]):
    """Repeats a request to a service of the cluster, with increasing waits, until it succeeds or a limit is reached."""

    def __init__(
        self,
        limit_seconds: float,
        *,
        has_answered: bool = False,
        retried_refusals: Collection[int] = UNKNOWN_CLIENT,
        on_failure: Callable[[ClusterError, int], None] = lambda error, number: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Create a policy that has seen no failure yet.

        Args:
            limit_seconds: The time for which the service may fail.
            has_answered: Whether the service has answered before. If not, it may fail for at most a minute, and
                refusals are not retried.
            retried_refusals: The HTTP statuses of refusals that are retried for ``REFUSAL_SECONDS``.
            on_failure: A function that is called before each wait, with the error and with the number of failures since
                the last success.
            clock: A function that returns a monotonic time in seconds.
            sleep: A function that waits for a number of seconds.
        """
        super().__init__(
            (ClusterUnavailableError, ClusterRefusedError),
            partial(limit_of, limit_seconds=limit_seconds, retried_refusals=retried_refusals),
            has_answered=has_answered,
            first_wait_seconds=_FIRST_WAIT_SECONDS,
            longest_wait_seconds=_LONGEST_WAIT_SECONDS,
            on_failure=on_failure,
            clock=clock,
            sleep=sleep,
        )


def limit_of(
    error: ClusterError, has_answered: bool, *, limit_seconds: float, retried_refusals: Collection[int]
) -> Limit:
    """Return for how long requests are repeated after an error, and the error to raise after that.

    Args:
        error: The error of the last request.
        has_answered: Whether the service has answered before.
        limit_seconds: The time for which the service may fail.
        retried_refusals: The HTTP statuses of refusals that are retried.
    """
    if isinstance(error, ClusterRefusedError):
        is_retried = has_answered and error.status in retried_refusals
        # The time counts from the first refusal: a server may not know its clients after a long outage.
        return Limit(
            seconds=min(limit_seconds, REFUSAL_SECONDS) if is_retried else 0.0,
            final_error=lambda _: error,
            has_own_clock=True,
        )
    reason = str(error).rstrip(".")
    return Limit(
        seconds=limit_seconds if has_answered else min(limit_seconds, _FIRST_CONTACT_SECONDS),
        final_error=lambda seconds: ClusterUnavailableError(f"{reason}; this has lasted for {seconds:.0f} s."),
    )
