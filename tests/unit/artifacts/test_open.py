import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.open import canonical_address, open_store
from tests.s3_server import S3Server

KEY = "peers/0123456789abcdef"


def test_a_folder_is_opened_as_a_store(tmp_path: Path) -> None:
    with FilesystemStore(tmp_path).open_workspace(KEY) as workspace:
        (workspace.folder / "a").write_bytes(b"1")
        published = FilesystemStore(tmp_path).publish(KEY, metadata={})
    assert open_store(str(tmp_path)).find(KEY) == published


@pytest.mark.parametrize(
    "address", ["S3://bucket/runs", "file:///tmp/runs", "http://127.0.0.1:9000/bucket", "s3//bucket"]
)
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=rf"^store must be a folder or s3://bucket/prefix, got {address}\.$"):
        open_store(address)


@pytest.mark.parametrize(
    ("spellings", "canonical"),
    [
        (("s3://bucket/a/b", "s3://bucket/a/b/", "s3://bucket//a/b//"), "s3://bucket/a/b"),
        (("s3://bucket", "s3://bucket/"), "s3://bucket"),
        (("runs", "./runs/", f"{Path.cwd()}//runs"), str(Path.cwd() / "runs")),
    ],
)
def test_an_address_has_one_canonical_spelling(spellings: tuple[str, ...], canonical: str) -> None:
    assert {canonical_address(each) for each in spellings} == {canonical}


def test_an_empty_address_is_refused_and_does_not_mean_the_current_folder() -> None:
    with pytest.raises(ValueError, match=r"^store must be a folder or s3://bucket/prefix, got an empty text\.$"):
        open_store("")


@pytest.mark.parametrize("prefix", ["", "/", "/runs", "/runs/a/"])
def test_a_bucket_is_opened_on_the_server_that_the_environment_names(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    store = open_store(f"s3://{s3_server.bucket}{prefix}")
    key = f"peers/{uuid4().hex}"
    with store.open_workspace(key) as workspace:
        (workspace.folder / "a").write_bytes(b"1")
        published = store.publish(key, metadata={})
    assert open_store(f"s3://{s3_server.bucket}{prefix.rstrip('/')}").find(key) == published


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://", "s3://"),
        ("s3:///runs", "s3:///runs"),
        ("s3://b:1/a", "s3://b:1/a"),
        ("s3://key:hush@bucket/runs", "s3://***@bucket/runs"),
        ("s3://bucket/a?b=hush", "s3://bucket/a?***"),
        ("s3://key:hush", "s3://key***"),
    ],
)
def test_an_address_without_a_plain_bucket_is_refused_and_shown_without_secrets(address: str, shown: str) -> None:
    with pytest.raises(ValueError, match=rf"^store must be like s3://bucket/prefix, got {re.escape(shown)}\.$"):
        open_store(address)


def test_a_prefix_with_parent_folders_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a name in a store must be relative, of parts like .+, got 'a/\.\./b'\.$"):
        open_store("s3://bucket/a/../b")


def test_an_environment_without_a_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERKD_S3_ACCESS_KEY", "a")
    monkeypatch.setenv("PEERKD_S3_SECRET_KEY", "b")
    with pytest.raises(ValueError, match=r"^A store at s3:// needs PEERKD_S3_ENDPOINT, as in http://"):
        open_store("s3://bucket/runs")


def test_a_store_in_a_folder_needs_no_client_of_s3() -> None:
    script = (
        "import sys; from peerkd.artifacts.open import open_store; from peerkd.artifacts import check, references;"
        "open_store('runs'); print(sorted({'minio', 'urllib3'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout == b"[]\n"


def test_a_folder_with_a_line_break_in_its_name_is_refused() -> None:
    rule = r"store must be a folder or s3://bucket/prefix, got runs\na; a path cannot contain a control character"
    with pytest.raises(ValueError, match=rf"^{re.escape(rule)}"):
        open_store("runs\na")
