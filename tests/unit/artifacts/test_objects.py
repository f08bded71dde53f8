"""Objects that another program wrote to a bucket, on a real server."""

from pathlib import Path

import pytest

from peerkd.artifacts.objects import download_object
from peerkd.artifacts.s3_bucket import Bucket
from tests.s3_server import S3Server


@pytest.fixture
def address(s3_server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> str:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_server.bucket}/{prefix}/a weight.pt"


def test_an_object_is_downloaded_under_its_own_name(address: str, bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    bucket.put(f"{prefix}/a weight.pt", b"content")
    path = download_object(address, tmp_path, notify=lambda text: None)
    assert path == tmp_path / "a weight.pt"
    assert path.read_bytes() == b"content"


def test_an_object_that_does_not_exist_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a weight\.pt must be an object in the bucket, and none exists"):
        download_object(address, tmp_path, notify=lambda text: None)
