"""How long a cluster's API may be away: every wait for it is bounded, and no two launchers come back at once."""

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError

Answer = TypeVar("Answer")

_FIRST_DELAY_SECONDS: Final = 0.5
_LONGEST_DELAY_SECONDS: Final = 8.0
_FIRST_CONTACT_SECONDS: Final = 60.0
"""A cluster that has never answered is rather a wrong address."""

_FORGIVENESS_SECONDS: Final = 45.0
"""An API server that has just started does not know its users yet, and refuses whom it knew a minute ago."""

_STATUSES_OF_A_START: Final = (401, 403)


class Patience:
    """Counts failures in a row and says how long to wait after each; gives up after a time."""

    def __init__(
        self,
        limit_seconds: float,
        *,
        has_answered: bool = False,
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], object] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._limit_seconds, self._has_answered = limit_seconds, has_answered
        self._clock, self._rest, self._draw = clock, rest, draw
        self._num_failures = 0
        self._since: float | None = None

    @property
    def is_tried(self) -> bool:
        """Whether the last thing heard of was a failure."""
        return self._num_failures > 0

    def succeeded(self) -> None:
        """Begin anew: the API has answered."""
        self._num_failures, self._since, self._has_answered = 0, None, True

    def answered(self) -> None:
        """Forget since when the API has been away, and go on resting longer after each failure."""
        self._since, self._has_answered = None, True

    def failed(self, error: ClusterUnavailableError | ClusterRefusedError) -> None:
        """Rest for a while, longer after each failure in a row.

        Raises:
            ClusterRefusedError: If it is a refusal that does not pass.
            ClusterUnavailableError: If the failures have gone on for too long.
        """
        now = self._clock()
        self._since = now if self._since is None else self._since
        limit_seconds = self._limit_seconds if self._has_answered else min(self._limit_seconds, _FIRST_CONTACT_SECONDS)
        if isinstance(error, ClusterRefusedError):
            if error.status not in _STATUSES_OF_A_START or not self._has_answered:
                raise error
            limit_seconds = min(limit_seconds, _FORGIVENESS_SECONDS)
        if now - self._since >= limit_seconds:
            if isinstance(error, ClusterRefusedError):
                raise error
            reason = str(error).rstrip(".")
            raise ClusterUnavailableError(f"{reason}; this has gone on for {now - self._since:.0f} s.") from error
        delay = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0**self._num_failures)
        self._num_failures = min(self._num_failures + 1, 16)
        self._rest(delay * (0.5 + self._draw() / 2))

    def insist(self, ask: Callable[[], Answer]) -> Answer:
        """Return the answer to a question that may be asked again.

        Raises:
            ClusterRefusedError: If the answer is no.
            ClusterUnavailableError: If there is none for too long.
        """
        while True:
            try:
                answer = ask()
            except (ClusterUnavailableError, ClusterRefusedError) as error:
                self.failed(error)
            else:
                self.succeeded()
                return answer
