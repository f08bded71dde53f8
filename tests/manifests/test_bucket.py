"""The script of the component minio makes the bucket, against a server that stands in for MinIO."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from minio import Minio
from moto.server import ThreadedMotoServer

from tests.manifests.built import MANIFESTS

SCRIPT = MANIFESTS / "components" / "minio" / "make_bucket.py"


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


def test_the_bucket_is_made_once(address: str) -> None:
    environment = {
        **os.environ,
        "PEERKD_S3_ENDPOINT": f"http://{address}",
        "PEERKD_S3_ACCESS_KEY": "a",
        "PEERKD_S3_SECRET_KEY": "b",
    }
    client = Minio(address, access_key="a", secret_key="b", secure=False)
    assert not client.bucket_exists("peerkd")
    for _ in range(2):
        subprocess.run([sys.executable, str(SCRIPT)], env=environment, check=True, timeout=60)
        assert client.bucket_exists("peerkd")
