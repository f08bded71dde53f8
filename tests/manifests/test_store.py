"""The job of the component minio creates the bucket and a user who may use it, on a real MinIO server.

The server is the program ``minio``, if it is installed. Without it, only the refusals of the script are tested.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest
from minio import Minio
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException, S3Error
from minio.minioadmin import MinioAdmin

from tests.manifests.built import MANIFESTS

SCRIPT = MANIFESTS / "components" / "minio" / "prepare_store.py"
ROOT_KEY = ("root-user", "root-password")
BESIDE_THE_CLUSTER = Path.home() / ".cache" / "cluster" / "bin" / "minio"


class Store(NamedTuple):
    address: str
    user: tuple[str, str]

    def client(self, key: tuple[str, str]) -> Minio:
        return Minio(self.address, access_key=key[0], secret_key=key[1], secure=False)

    def admin(self, key: tuple[str, str]) -> MinioAdmin:
        return MinioAdmin(endpoint=self.address, credentials=StaticProvider(*key), secure=False)


def prepare(address: str, user: tuple[str, str], root: tuple[str, str] = ROOT_KEY) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PEERKD_S3_ENDPOINT": f"http://{address}",
        "MINIO_ROOT_USER": root[0],
        "MINIO_ROOT_PASSWORD": root[1],
        "PEERKD_S3_ACCESS_KEY": user[0],
        "PEERKD_S3_SECRET_KEY": user[1],
    }
    command = [sys.executable, str(SCRIPT)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A MinIO server with the bucket and the user, and with another bucket that belongs to someone else."""
    program = shutil.which("minio") or (str(BESIDE_THE_CLUSTER) if BESIDE_THE_CLUSTER.is_file() else None)
    if program is None:
        pytest.skip("there is no minio here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("minio")
    environment = {
        **os.environ,
        "MINIO_ROOT_USER": ROOT_KEY[0],
        "MINIO_ROOT_PASSWORD": ROOT_KEY[1],
        "MINIO_BROWSER": "off",
        "HOME": str(folder),
    }
    command = [program, "server", str(folder / "data"), "--address", address, "--quiet"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(f"http://{address}/minio/health/ready")
            store = Store(address, ("worker", secrets.token_hex(16)))
            ended = prepare(address, store.user)
            assert ended.returncode == 0, ended.stderr
            root = store.client(ROOT_KEY)
            root.make_bucket("theirs")
            root.put_object("theirs", "a", BytesIO(b"x"), 1)
            yield store
        finally:
            server.terminate()


def _wait_for(url: str) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("MinIO did not start within 30 s")


def test_the_workers_key_reads_writes_lists_and_deletes_in_its_bucket(store: Store) -> None:
    client = store.client(store.user)
    assert client.bucket_exists("peerkd")
    large = b"x" * (6 * 1024**2)
    client.put_object("peerkd", "runs/small", BytesIO(b"x"), 1)
    client.put_object("peerkd", "runs/large", BytesIO(large), len(large), part_size=5 * 1024**2)
    assert {each.object_name for each in client.list_objects("peerkd", "runs/", recursive=True)} == {
        "runs/small",
        "runs/large",
    }
    assert client.get_object("peerkd", "runs/large").data == large
    client.remove_object("peerkd", "runs/small")
    assert [each.object_name for each in client.list_objects("peerkd", recursive=True)] == ["runs/large"]


FORBIDDEN: dict[str, Callable[[Minio], object]] = {
    "list": lambda client: list(client.list_objects("theirs")),
    "read": lambda client: client.get_object("theirs", "a"),
    "write": lambda client: client.put_object("theirs", "b", BytesIO(b"x"), 1),
    "delete": lambda client: client.remove_object("theirs", "a"),
    "delete the bucket": lambda client: client.remove_bucket("theirs"),
    "make a bucket": lambda client: client.make_bucket("mine"),
    "delete its own bucket": lambda client: client.remove_bucket("peerkd"),
    "open its bucket to all": lambda client: client.set_bucket_policy("peerkd", "{}"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_workers_key_has_no_rights_outside_its_bucket(store: Store, what: str) -> None:
    with pytest.raises(S3Error) as refused:
        FORBIDDEN[what](store.client(store.user))
    assert refused.value.code == "AccessDenied"
    assert [each.object_name for each in store.client(ROOT_KEY).list_objects("theirs")] == ["a"]


def test_the_workers_key_sees_no_other_bucket(store: Store) -> None:
    assert {each.name for each in store.client(store.user).list_buckets()} == {"peerkd"}
    assert {each.name for each in store.client(ROOT_KEY).list_buckets()} == {"peerkd", "theirs"}


ADMIN: dict[str, Callable[[MinioAdmin], object]] = {
    "list users": lambda admin: admin.user_list(),
    "add a user": lambda admin: admin.user_add("second", "second-password"),
    "change its policy": lambda admin: admin.policy_set("consoleAdmin", user="worker"),
    "list policies": lambda admin: admin.policy_list(),
    "stop the server": lambda admin: admin.service_stop(),
}


@pytest.mark.parametrize("what", ADMIN)
def test_the_workers_key_cannot_administer_the_server(store: Store, what: str) -> None:
    with pytest.raises(MinioAdminException, match="Status: 403"):
        ADMIN[what](store.admin(store.user))


def test_a_key_that_the_server_refuses_ends_the_job_immediately(store: Store) -> None:
    ended = prepare(store.address, ("worker", "short"))
    assert ended.returncode == 1
    assert ended.stderr.startswith("The bucket peerkd and its user could not be created: ")
    assert "Traceback" not in ended.stderr


def test_the_root_key_is_refused_as_the_workers_key() -> None:
    ended = prepare("127.0.0.1:1", ROOT_KEY)
    assert ended.returncode == 1
    assert ended.stderr.startswith("The access-key of the Secret peerkd-store must differ from that of peerkd-minio-")


def test_running_the_job_again_changes_the_key(store: Store) -> None:
    changed = (store.user[0], secrets.token_hex(16))
    ended = prepare(store.address, changed)
    assert ended.returncode == 0, ended.stderr
    assert store.client(changed).bucket_exists("peerkd")
    with pytest.raises(S3Error):
        store.client(store.user).bucket_exists("peerkd")
