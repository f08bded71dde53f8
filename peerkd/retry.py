"""The retry policy for requests to services that fail temporarily.

``Retries`` waits after each failure, and gives up at a limit of time or of tries. The waits are partly random, so that
clients do not all return at the same time. Each service has a function that returns the ``Limit`` of an error, and so
defines which failures are retried and for how long.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

_Error = TypeVar("_Error", bound=Exception)
_Result = TypeVar("_Result")

# The system's generator: retries must not change the random numbers of a training, and forked processes must not draw
# the same numbers.
_draw: Final = random.SystemRandom().random


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """The limit on retries after failures of one kind."""

    seconds: float
    """The time after which ``Retries`` gives up. 0: it gives up after the first failure."""

    final_error: Callable[[float], Exception]
    """A function that returns the error to raise, given the seconds since the first failure."""

    num_tries: int | None = None
    """The number of failures after which ``Retries`` gives up; None if only the time counts.

    Failures are counted separately for each value of ``num_tries``. The waits grow only after failures whose
    ``num_tries`` is None.
    """

    has_own_clock: bool = False
    """Whether ``seconds`` is counted only over the present unbroken series of failures whose limits have this field
    set.

    If not, ``seconds`` is counted from the first failure of any kind since the service last answered.
    """


class Retries(Generic[_Error]):
    """Counts consecutive failures of requests to a service, waits after each, and raises an error at the limit."""

    def __init__(
        self,
        errors: tuple[type[_Error], ...],
        limit_of: Callable[[_Error, bool], Limit],
        *,
        has_answered: bool = False,
        first_wait_seconds: float,
        longest_wait_seconds: float,
        on_failure: Callable[[_Error, int], None] = lambda error, number: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        draw: Callable[[], float] = _draw,
    ) -> None:
        """Start without failures.

        Args:
            errors: The errors that ``call`` retries. All others propagate immediately.
            limit_of: A function that returns the limit of an error, given whether the service has answered before.
            has_answered: Whether the service has answered before.
            first_wait_seconds: The upper limit on the wait after the first failure. The limit doubles with each further
                failure, up to ``longest_wait_seconds``.
            longest_wait_seconds: The upper limit on every wait.
            on_failure: A function that is called before each wait, with the failure and the number of failures in a
                row.
            clock: A function that returns a monotonic time in seconds.
            sleep: A function that waits for a number of seconds.
            draw: A function that returns a random number from 0 to 1. It decides whether a wait lasts for half of its
                upper limit (0), for all of it (1), or for a time in between.
        """
        self._errors, self._limit_of, self._has_answered = errors, limit_of, has_answered
        self._first_wait_seconds, self._longest_wait_seconds = first_wait_seconds, longest_wait_seconds
        self._on_failure, self._clock, self._sleep, self._draw = on_failure, clock, sleep, draw
        self._num_failures, self._wait_seconds = 0, first_wait_seconds
        self._num_by_tries: Counter[int | None] = Counter()
        self._since: float | None = None
        self._own_since: float | None = None

    @property
    def has_failed(self) -> bool:
        """Whether the last attempt failed."""
        return self._num_failures > 0

    def call(self, request: Callable[[], _Result]) -> _Result:
        """Return the result of a request. Repeat the request while it fails, up to the limit of its failures.

        Raises:
            Exception: The ``final_error`` of the failure's limit, if the limit is reached.
        """
        while True:
            try:
                result = request()
            except self._errors as error:
                self.failed(error)
            else:
                self.succeeded()
                return result

    def failed(self, error: _Error) -> None:
        """Count a failure and wait.

        Raises:
            Exception: The ``final_error`` of the failure's limit, if the limit is reached.
        """
        self._num_failures += 1
        self._on_failure(error, self._num_failures)
        limit, now = self._limit_of(error, self._has_answered), self._clock()
        self._num_by_tries[limit.num_tries] += 1
        self._since = now if self._since is None else self._since
        if not limit.has_own_clock:
            self._own_since = None
        elif self._own_since is None:
            self._own_since = now
        since = self._since if self._own_since is None else self._own_since
        left_seconds = since + limit.seconds - now
        if left_seconds <= 0 or self._num_by_tries[limit.num_tries] == limit.num_tries:
            final_error = limit.final_error(now - self._since)
            if final_error is error:
                raise error
            raise final_error from error
        self._sleep(min(left_seconds, self._wait_seconds * (0.5 + self._draw() / 2)))
        if limit.num_tries is None:
            self._wait_seconds = min(2 * self._wait_seconds, self._longest_wait_seconds)

    def succeeded(self) -> None:
        """Reset the failures and the waits after a request has succeeded."""
        self.answered()
        self._num_failures, self._wait_seconds = 0, self._first_wait_seconds
        self._num_by_tries.clear()

    def answered(self) -> None:
        """Restart the time limits, because the service has answered. The waits continue to grow."""
        self._since = self._own_since = None
        self._has_answered = True
