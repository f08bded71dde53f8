"""Retries of requests while the store has an outage."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, TypeVar

from peerkd.artifacts.s3_errors import TransientError
from peerkd.errors import StoreUnavailableError

PATIENCE_SECONDS: Final = 300.0
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 10.0

_Result = TypeVar("_Result")


class Patience:
    """Repeats requests until the store answers or a time limit is reached. Several threads may share one."""

    def __init__(
        self,
        store: str,
        *,
        tell: Callable[[str], None],
        count_failure: Callable[[], None] = lambda: None,
        seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store, self._tell, self._seconds = store, tell, seconds
        self._count_failure = count_failure
        self._clock, self._sleep = clock, sleep
        self._told = False
        self._lock = threading.Lock()
        # A separate generator, so that waiting does not change the random numbers of a training.
        self._random = random.Random()

    def run(self, request: Callable[[], _Result]) -> _Result:
        """Return what the request returns, repeated while it raises ``TransientError``.

        Raises:
            StoreUnavailableError: If the request still fails when the patience ends, or after ``num_tries`` failures
                of a kind that sets a limit. If the failure has a ``final_error``, that is raised instead.
        """
        failed_first: float | None = None
        pause_seconds = _FIRST_PAUSE_SECONDS
        # The failures by the number of tries that they allow: those of one kind do not use up the tries of another.
        num_failures: Counter[int | None] = Counter()
        while True:
            try:
                result = request()
            except TransientError as error:
                self._count_failure()
                now = self._clock()
                num_failures[error.num_tries] += 1
                if failed_first is None:
                    # The first failure is not reported: servers often close idle connections without an outage.
                    failed_first = now
                elif error.num_tries is None:
                    self._tell_once(error)
                left_seconds = failed_first + self._seconds - now
                if left_seconds <= 0 or num_failures[error.num_tries] == error.num_tries:
                    raise error.final_error or StoreUnavailableError(
                        f"The store {self._store} has not answered for {now - failed_first:.0f} s ({error})."
                    ) from error
                self._sleep(min(left_seconds, pause_seconds * self._random.uniform(0.5, 1.5)))
                if error.num_tries is None:
                    pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            else:
                self._tell_recovery()
                return result

    def _tell_once(self, error: TransientError) -> None:
        with self._lock:
            first, self._told = not self._told, True
        if first:
            self._tell(
                f"the store {self._store} does not answer, trying again for up to {self._seconds:.0f} s ({error})"
            )

    def _tell_recovery(self) -> None:
        if self._told:
            with self._lock:
                told, self._told = self._told, False
            if told:
                self._tell(f"the store {self._store} answers again")
