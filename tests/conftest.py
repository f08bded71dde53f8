"""Settings and limits of all tests, and the servers that they share."""

import gc
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from tests.s3_server import find_minio, s3_server, strict_s3_server

__all__ = ["s3_server", "strict_s3_server"]

# One thread is set before anything imports torch, as in a training process. Sums over threads would differ between
# machines, and on a busy machine most of the time would be spent in threads that wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

# If this variable were set, each process that a test starts would compile the modules of torch for some seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A command that continues a run repeats this variable.
os.environ.pop("PYTHONPATH", None)


IS_SLOW = bool(os.environ.get("PEERKD_SLOW"))
"""Whether the slow tests run as well."""

# The duration of an example depends on the machine rather than on the program.
settings.register_profile("peerkd", deadline=None, max_examples=100 if IS_SLOW else 20)
settings.load_profile("peerkd")


LIMITS_SECONDS = {
    "benchmarks": 900,
    "docs": 900,
    "e2e": 7200,
    "faults": 900,
    "manifests": 900,
    "pipelines": 900,
    "recipes": 900,
}
"""Time limits of folders whose tests run whole pipelines or other programs. The default is in pyproject.toml.

A limit ends a test that hangs. It is generous, because several test runs may share the machine.
"""


LONG_FOLDERS = ("unit/training/", "unit/stages/", "benchmarks/", "faults/", "docs/")
"""Folders with files that take long. They are tested first, because a long file that comes last is tested by one
process while the others have nothing to do.
"""

WAITING_FOLDERS = ("pipelines/", "recipes/", "browser/")
"""Folders whose tests wait most of the time for processes that they start, with files that take up to two minutes."""


def order(paths: Sequence[str]) -> list[str]:
    """Return files of tests in the order in which they are tested.

    Files that wait are spread over the first two thirds of the others, so that something computes while they wait.
    """
    waiting = [path for path in paths if path.startswith(WAITING_FOLDERS)]
    others = sorted(set(paths).difference(waiting), key=lambda path: (not path.startswith(LONG_FOLDERS), path))
    places = {path: 2 / 3 * index / len(waiting) for index, path in enumerate(waiting)}
    places |= {path: index / len(others) for index, path in enumerate(others)}
    return sorted(places, key=places.__getitem__)


def pytest_sessionstart() -> None:
    # Collecting creates millions of objects that stay. The garbage collector would look at them again and again.
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    names = {item: item.path.relative_to(root).as_posix() for item in items}
    places = {name: place for place, name in enumerate(order(list(dict.fromkeys(names.values()))))}
    items.sort(key=lambda item: places[names[item]])
    for item in items:
        limit = LIMITS_SECONDS.get(item.path.relative_to(root).parts[0])
        if limit is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(limit))
        if not IS_SLOW and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="it is slow; run make slow"))


def pytest_xdist_auto_num_workers() -> int:
    """Return one more than the number of cores, because many tests wait for processes that they have started.

    A further process would wait less, but each process collects all tests, and they compete for the caches.
    """
    return len(os.sched_getaffinity(0)) + 1


def pytest_report_header() -> str:
    return f"S3 server: {find_minio() or 'moto, as there is no minio on the PATH and no PEERKD_TEST_MINIO'}"
