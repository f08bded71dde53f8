"""The retry policy for requests to a remote store, with messages about outages."""

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from peerkd.artifacts.s3_errors import TransientError
from peerkd.errors import StoreUnavailableError
from peerkd.retry import Limit, Retries

RETRY_SECONDS: Final = 300.0
_FIRST_WAIT_SECONDS: Final = 0.2
_LONGEST_WAIT_SECONDS: Final = 10.0

_Result = TypeVar("_Result")


class StoreRetries:
    """Repeats failed requests to a store, from any number of threads, and reports each outage of the store once."""

    def __init__(
        self,
        store: str,
        *,
        notify: Callable[[str], None],
        count_failure: Callable[[], None] = lambda: None,
        seconds: float = RETRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store, self._notify, self._seconds = store, notify, seconds
        self._count_failure = count_failure
        self._clock, self._sleep = clock, sleep
        self._is_reported = False
        self._lock = threading.Lock()

    def call(self, request: Callable[[], _Result]) -> _Result:
        """Send a request, repeat it while it raises ``TransientError``, and return its result.

        Raises:
            StoreUnavailableError: If the request still fails at the time limit, or after the ``num_tries`` attempts
                that its error allows. If the error has a ``final_error``, that is raised instead.
        """
        result = Retries(
            (TransientError,),
            self._limit_of,
            first_wait_seconds=_FIRST_WAIT_SECONDS,
            longest_wait_seconds=_LONGEST_WAIT_SECONDS,
            on_failure=self._report,
            clock=self._clock,
            sleep=self._sleep,
        ).call(request)
        if self._is_reported and self._set_reported(False):
            self._notify(f"the store {self._store} answers again")
        return result

    def _limit_of(self, error: TransientError, has_answered: bool) -> Limit:
        def final_error(seconds: float) -> Exception:
            text = f"The store {self._store} has not answered for {seconds:.0f} s ({error})."
            return error.final_error or StoreUnavailableError(text)

        return Limit(seconds=self._seconds, num_tries=error.num_tries, final_error=final_error)

    def _report(self, error: TransientError, number: int) -> None:
        self._count_failure()
        # The first failure is not reported: servers often close idle connections without an outage.
        if number > 1 and error.num_tries is None and self._set_reported(True):
            self._notify(
                f"the store {self._store} does not answer, trying again for up to {self._seconds:.0f} s ({error})"
            )

    def _set_reported(self, is_reported: bool) -> bool:
        """Record whether the present outage has been reported, and return whether the record has changed."""
        with self._lock:
            has_changed, self._is_reported = self._is_reported != is_reported, is_reported
        return has_changed
