"""Work done ahead of its use, in threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], *, num_ahead: int, num_threads: int = 2
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item in order, while the next ones are computed in the background.

    Nothing starts before the first result is asked for. When the iterator ends, is closed or is dropped, what has not
    begun is cancelled and what has is waited for. An exception of the function reaches the caller as it is.

    Args:
        function: Has to release the interpreter lock for this to be of use.
        items: One for each result.
        num_ahead: Results at most that are made or being made beyond the one yielded, at least 1.
        num_threads: Two, so that one thread begins an item while the other waits for the slowest part of its own.
    """
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="prefetch")
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > num_ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
