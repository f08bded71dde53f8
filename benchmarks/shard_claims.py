"""Measure workers that share shards: ``python -m benchmarks.shard_claims --shards 2000 --workers 20``.

Each simulated worker is a thread with its own store, workspace and shard queue, as in a sweep, against a real server:
MinIO if it is installed, else the server of moto. A task writes one record and trains nothing. The requests are counted
where they leave the client.
"""

import argparse
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.machine_facts import load_average
from benchmarks.markdown import table as markdown_table
from peerkd.artifacts.open import open_store
from peerkd.artifacts.s3_connection import CheckedPool
from peerkd.launch.worker import Worker
from peerkd.stages.shard_queue import StageWork, open_shard_queue
from peerkd.stages.shards import split_into_shards
from peerkd.stages.store_requests import StoreRequests, requests_of_shards
from tests.s3_server import S3Server, find_minio, running_minio, running_moto

_KEY: Final = "distill_pairs/0123456789abcdef"
_POLL_SECONDS: Final = 0.5


@contextmanager
def counted_requests() -> Iterator[Counter[str]]:
    """Count, by kind, the requests that all S3 clients send in a ``with`` block."""
    counts: Counter[str] = Counter()
    original, lock = CheckedPool.urlopen, threading.Lock()

    def urlopen(self: CheckedPool, method: str, url: str, *args: Any, **options: Any) -> Any:
        kind = "LIST" if method == "GET" and "prefix=" in url else method
        with lock:
            counts[kind] += 1
        return original(self, method, url, *args, **options)

    CheckedPool.urlopen = urlopen  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        CheckedPool.urlopen = original  # type: ignore[method-assign]


def share(address: str, *, num_shards: int, num_workers: int, in_sections: bool = True) -> tuple[int, float, float]:
    """Let workers do all shards.

    Return the number of records, the seconds until the last shard, and the seconds until the end.
    """
    work = StageWork(
        stage="claims",
        shards=split_into_shards(range(num_shards), num_records=len, max_shards=num_shards, in_sections=in_sections),
        identity=lambda record: record["task"],
        on_recovered=lambda num: None,
        on_done_elsewhere=lambda num: None,
    )
    results: dict[str, Any] = {}
    failures: list[BaseException] = []
    start = time.perf_counter()

    def run(index: int) -> None:
        store = open_store(address)
        worker = Worker(index=index, num_workers=num_workers)
        with (
            store.open_workspace(_KEY, shared=True) as workspace,
            open_shard_queue(workspace, work, worker, is_published=lambda: store.find(_KEY) is not None) as queue,
        ):
            for task in queue.tasks():
                if task is None:
                    time.sleep(_POLL_SECONDS)
                else:
                    queue.add_record(task[0], {"task": task[1], "by": index})
            if worker.is_first:
                results["seconds"] = time.perf_counter() - start
                results["records"] = sum(1 for _ in queue.records())

    def run_and_report(index: int) -> None:
        try:
            run(index)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=run_and_report, args=(index,)) for index in range(num_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results["records"], results["seconds"], time.perf_counter() - start


def measure(server: S3Server, *, num_shards: int, num_workers: int, in_sections: bool = True) -> list[tuple[str, str]]:
    """Let workers share shards through a server, and return the results by name."""
    os.environ.update(server.environment())
    name = f"s3://{server.bucket}/{num_shards}-{num_workers}-{in_sections}"
    with counted_requests() as counts:
        num, seconds, all_seconds = share(name, num_shards=num_shards, num_workers=num_workers, in_sections=in_sections)
    assert num == num_shards, "each shard has one record"
    sent = StoreRequests(counts["PUT"] + counts["POST"] + counts["LIST"], counts["GET"] + counts["HEAD"])
    forecast = requests_of_shards(num_shards, in_sections=in_sections)
    return [
        ("shards, workers", f"{num_shards:,}, {num_workers:,}{'' if in_sections else ', without sections'}"),
        ("seconds until the last shard was done", f"{seconds:.1f}"),
        ("seconds with reading all journals", f"{all_seconds:.1f}"),
        ("claims in a second", f"{num_shards / seconds:.1f}"),
        ("requests in a second", f"{counts.total() / all_seconds:.0f}"),
        *((f"{kind} for each shard", f"{num / num_shards:.2f}") for kind, num in sorted(counts.items())),
        ("writes and lists, reads", f"{sent.num_writes:,}, {sent.num_reads:,}"),
        ("the same as planned, with TLS", f"{forecast.num_writes:,}, {forecast.num_reads:,}"),
        ("price as planned for 100,000 shards, USD", f"{requests_of_shards(100_000, in_sections=True).price_usd:.2f}"),
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shard_claims", description=__doc__)
    parser.add_argument("--shards", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--without-sections", action="store_true")
    options = parser.parse_args(words)
    before = load_average()
    with (
        TemporaryDirectory() as folder,
        running_minio(Path(folder)) if find_minio() else running_moto() as server,
    ):
        rows = measure(
            server,
            num_shards=options.shards,
            num_workers=options.workers,
            in_sections=not options.without_sections,
        )
    print(markdown_table(("", "MinIO" if find_minio() else "moto"), rows))
    print(f"\nLoad average: {before:.1f} before, {load_average():.1f} after.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
