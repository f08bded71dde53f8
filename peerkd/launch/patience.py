"""How long a service may be away: every wait for it is bounded, and no two clients come back at once."""

import random
import time
from collections.abc import Callable, Collection
from typing import Final, TypeVar

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError

Answer = TypeVar("Answer")

_FIRST_DELAY_SECONDS: Final = 0.5
_LONGEST_DELAY_SECONDS: Final = 8.0
_FIRST_CONTACT_SECONDS: Final = 60.0
"""How long a service may be away that has never answered: its address is probably wrong."""

FORGIVENESS_SECONDS: Final = 45.0
"""How long refusals are forgiven: a server that has just started may refuse clients that it knew a minute ago."""

UNKNOWN_CLIENT: Final = frozenset({301, 302, 303, 307, 308, 401, 403})
"""Statuses of a server, or of a proxy before it, that does not know the client. A redirect leads to a login page."""

_PASSING: Final = frozenset({408, 425, 429})


def may_pass(status: int) -> bool:
    """Return whether the same request may succeed later, by the HTTP status of its answer."""
    return status in _PASSING or status >= 500


class Patience:
    """Counts failures in a row, waits after each, and gives up after a time."""

    def __init__(
        self,
        limit_seconds: float,
        *,
        has_answered: bool = False,
        forgiven: Collection[int] = UNKNOWN_CLIENT,
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], object] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Begin with no failures.

        Args:
            limit_seconds: How long the service may be away.
            has_answered: Whether it has answered before. If not, it may be away for a minute at most, and no refusal
                is forgiven.
            forgiven: Statuses of refusals that may pass within ``FORGIVENESS_SECONDS``.
            clock: Returns seconds, and never goes back.
            rest: Sleeps.
            draw: Returns a random number between 0 and 1.
        """
        self._limit_seconds, self._has_answered, self._forgiven = limit_seconds, has_answered, forgiven
        self._clock, self._rest, self._draw = clock, rest, draw
        self._num_failures = 0
        self._since: float | None = None
        self._refused_since: float | None = None

    @property
    def is_tried(self) -> bool:
        """Whether the last attempt failed."""
        return self._num_failures > 0

    def succeeded(self) -> None:
        """Start over: the service has answered."""
        self._num_failures, self._since, self._refused_since, self._has_answered = 0, None, None, True

    def answered(self) -> None:
        """Start over with the time that the service was away, but keep lengthening the wait after each failure."""
        self._since, self._refused_since, self._has_answered = None, None, True

    def failed(self, error: ClusterUnavailableError | ClusterRefusedError) -> None:
        """Wait for a while, longer after each failure in a row.

        Raises:
            ClusterRefusedError: If it is a refusal that is not forgiven.
            ClusterUnavailableError: If the failures have gone on for too long.
        """
        now = self._clock()
        self._since = now if self._since is None else self._since
        if isinstance(error, ClusterRefusedError):
            # Counted from the first refusal: a server that was away for long may not know its users when it is back.
            self._refused_since = now if self._refused_since is None else self._refused_since
            is_forgiven = error.status in self._forgiven and self._has_answered
            if not is_forgiven or now - self._refused_since >= min(self._limit_seconds, FORGIVENESS_SECONDS):
                raise error
        else:
            self._refused_since = None
            limit_seconds = self._limit_seconds
            if not self._has_answered:
                limit_seconds = min(limit_seconds, _FIRST_CONTACT_SECONDS)
            if now - self._since >= limit_seconds:
                reason = str(error).rstrip(".")
                raise ClusterUnavailableError(f"{reason}; this has gone on for {now - self._since:.0f} s.") from error
        delay = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0**self._num_failures)
        self._num_failures = min(self._num_failures + 1, 16)
        self._rest(delay * (0.5 + self._draw() / 2))

    def insist(self, ask: Callable[[], Answer]) -> Answer:
        """Return the answer to a request that may be repeated.

        Raises:
            ClusterRefusedError: If the service refuses.
            ClusterUnavailableError: If the service does not answer for too long.
        """
        while True:
            try:
                answer = ask()
            except (ClusterUnavailableError, ClusterRefusedError) as error:
                self.failed(error)
            else:
                self.succeeded()
                return answer
