"""The small stages on an S3 server behind a faulty proxy."""

import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from peerkd.artifacts.s3 import S3Store
from peerkd.artifacts.s3_bucket import Bucket
from peerkd.artifacts.s3_environment import read_settings
from peerkd.artifacts.s3_retries import StoreRetries
from peerkd.launch.worker import Worker
from tests.faults import small_stage
from tests.faults.faulty_proxy import faulty_proxy_to
from tests.faults.report import Case
from tests.s3_server import S3Server

_LONGEST_PAUSE_SECONDS = 0.02
"""The longest pause before a request is repeated. Longer pauses would only slow the tests down."""


def studies_with_faulty_requests(
    server: S3Server, num_cases: int, *, share: float, seed: int, tried: Counter[str]
) -> Iterator[Case]:
    """Run both stages with two workers or one while a fraction of all requests fail, and check the stored results.

    Args:
        server: The server behind the proxy.
        num_cases: The number of studies.
        share: The fraction of requests that fail.
        seed: The seed that determines the faults, together with the order of the requests.
        tried: Receives the number of failed requests by fault.
    """
    expected: str | None = None
    for number in range(num_cases):
        prefix = f"faults-{seed}-{number}"
        with tempfile.TemporaryDirectory() as folder:
            with faulty_proxy_to(server.endpoint, share=share, seed=seed * 1_000_003 + number, tried=tried) as proxy:
                outcomes = _study(server, proxy.endpoint, prefix, Path(folder), num_workers=2 - number % 2)
            sound = _open(server, server.endpoint, prefix, Path(folder, "sound"))
            if expected is None:
                expected = small_stage.run(
                    _open(server, server.endpoint, f"{prefix}-sound", Path(folder, "expected")), notify=lambda _: None
                )
            yield Case("store that cannot be relied on", number, _complaint(outcomes, sound, expected))


def _study(server: S3Server, endpoint: str, prefix: str, folder: Path, *, num_workers: int) -> list[str]:
    """Return for each worker its result or its traceback."""
    outcomes = [""] * num_workers

    def work(index: int) -> None:
        store = _open(server, endpoint, prefix, folder / str(index))
        worker = Worker(index=index, num_workers=num_workers)
        try:
            outcomes[index] = small_stage.run(store, notify=lambda _: None, worker=worker)
        except Exception:
            outcomes[index] = traceback.format_exc(limit=-6)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(num_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _complaint(outcomes: list[str], sound: S3Store, expected: str) -> str | None:
    wrong = [outcome for outcome in outcomes if outcome != expected]
    if wrong:
        return wrong[0]
    # Fetching verifies every file. The stages must find both artifacts, and compute nothing.
    told: list[str] = []
    try:
        result = small_stage.run(sound, notify=told.append)
    except Exception as error:
        return f"what was stored cannot be fetched: {error!r}"
    if told:
        return f"what had been published was made again: {told[0]}"
    return None if result == expected else f"stored {result}"


def _open(server: S3Server, endpoint: str, prefix: str, cache: Path) -> S3Store:
    def pause(seconds: float) -> None:
        time.sleep(min(seconds, _LONGEST_PAUSE_SECONDS))

    settings = read_settings(server.environment(endpoint=endpoint))
    retries = StoreRetries("S3", notify=lambda _: None, seconds=60, sleep=pause)
    return S3Store(Bucket(settings, server.bucket, retries=retries), prefix, cache=cache)
