"""For all tests."""

import os

from hypothesis import settings

# One thread, as in a worker, before anything imports torch: sums over threads would not be the same from machine to
# machine, and on a busy one threads that wait for each other take most of the time.
os.environ["OMP_NUM_THREADS"] = "1"


# How long an example takes says something of the machine, not of the program.
settings.register_profile("peerkd", deadline=None)
settings.load_profile("peerkd")


def pytest_report_header() -> str:
    from tests.s3_server import find_minio

    return f"S3 server: {find_minio() or 'moto, as there is no minio on the PATH and no PEERKD_TEST_MINIO'}"
