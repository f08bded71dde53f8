"""A real S3 server for tests: MinIO if it is installed, else the server of moto.

``PEERKD_TEST_MINIO`` names a ``minio`` binary. Without it, the PATH is searched for one. The server of moto keeps
objects in memory. MinIO always checks credentials, but moto only on request.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_START_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A running server with an existing bucket."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str = "peerkd-tests"

    def environment(self, *, endpoint: str | None = None) -> dict[str, str]:
        """Return the environment variables that a program needs to use the server."""
        return {
            "PEERKD_S3_ENDPOINT": endpoint or self.endpoint,
            "PEERKD_S3_ACCESS_KEY": self.access_key,
            "PEERKD_S3_SECRET_KEY": self.secret_key,
        }


def find_minio() -> str | None:
    return os.environ.get("PEERKD_TEST_MINIO") or shutil.which("minio")


@contextmanager
def running_minio(folder: Path) -> Iterator[S3Server]:
    binary = find_minio()
    assert binary is not None
    port = free_port()
    server = S3Server(endpoint=f"http://127.0.0.1:{port}", access_key="tester", secret_key="tester-secret")
    command = [binary, "server", str(folder), "--address", f"127.0.0.1:{port}", "--console-address", "127.0.0.1:0"]
    environment = {"MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key, "HOME": str(folder)}
    with _running(command, environment, f"{server.endpoint}/minio/health/ready"):
        make_bucket(server)
        yield server


@contextmanager
def running_moto(*, checks_credentials: bool = False) -> Iterator[S3Server]:
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    # Four requests create a user with all rights and a bucket. From then on, the server checks credentials.
    environment = {"INITIAL_NO_AUTH_ACTION_COUNT": "4"} if checks_credentials else {}
    with _running(command, environment, f"{endpoint}/moto-api/"):
        access_key, secret_key = _make_user(endpoint) if checks_credentials else ("tester", "tester-secret")
        server = S3Server(endpoint=endpoint, access_key=access_key, secret_key=secret_key)
        make_bucket(server)
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server for the whole session. Each test uses its own prefix."""
    with running_minio(tmp_path_factory.mktemp("minio")) if find_minio() else running_moto() as server:
        yield server


@pytest.fixture(scope="session")
def strict_s3_server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """A server that checks credentials."""
    if find_minio():
        yield request.getfixturevalue("s3_server")
        return
    with running_moto(checks_credentials=True) as server:
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_bucket(server: S3Server) -> None:
    from minio import Minio

    address = server.endpoint.removeprefix("http://")
    Minio(address, server.access_key, server.secret_key, secure=False, region="us-east-1").make_bucket(server.bucket)


def _make_user(endpoint: str) -> tuple[str, str]:
    import json

    import boto3

    iam = boto3.client(
        "iam", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    iam.create_user(UserName="tester")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="tester", PolicyName="all", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="tester")["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


@contextmanager
def _running(command: list[str], environment: Mapping[str, str], health: str) -> Iterator[None]:
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not _answers(health):
                assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
                assert time.monotonic() < deadline, f"{command[0]} does not answer"
                time.sleep(0.05)
            yield
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
