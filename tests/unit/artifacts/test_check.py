from collections.abc import Iterator
from pathlib import Path

import pytest

from peerkd.artifacts.check import StoreCheckResult, check_store
from peerkd.artifacts.s3_bucket import Bucket
from peerkd.artifacts.s3_errors import NUM_TRIES_OF_REFUSED
from tests.s3_proxy import S3Proxy
from tests.s3_server import S3Server

STEPS = ["put", "get", "condition", "multipart", "list", "delete"]


@pytest.fixture
def address(
    s3_server: S3Server, proxy: S3Proxy, prefix: str, monkeypatch: pytest.MonkeyPatch, bucket: Bucket
) -> Iterator[str]:
    for name, value in s3_server.environment(endpoint=proxy.endpoint).items():
        monkeypatch.setenv(name, value)
    yield f"s3://{s3_server.bucket}/{prefix}"
    assert bucket.names(prefix) == {}


def failed(findings: list[StoreCheckResult]) -> StoreCheckResult:
    assert [finding.passed for finding in findings] == [True] * (len(findings) - 1) + [False]
    return findings[-1]


def test_a_working_store_passes_the_check_and_nothing_is_left_in_it(address: str) -> None:
    findings = check_store(address)
    assert [finding.name for finding in findings] == STEPS
    assert all(finding.passed for finding in findings)
    assert findings[0].text == f"wrote to {address}"


@pytest.mark.parametrize(
    ("pattern", "step"),
    [
        ("PUT .*small", "put"),
        ("GET .*small", "get"),
        ("POST .*uploads", "multipart"),
        ("GET .*list-type", "list"),
        ("POST .*delete", "delete"),
    ],
)
def test_the_check_finds_a_denied_right_and_leaves_nothing(
    address: str, proxy: S3Proxy, pattern: str, step: str
) -> None:
    proxy.fail(pattern, "403", times=NUM_TRIES_OF_REFUSED)
    finding = failed(check_store(address))
    assert finding.name == step
    assert finding.text.startswith(f"The store {proxy.endpoint} denies these credentials the use of bucket ")


def test_the_check_finds_an_unreachable_server(address: str, proxy: S3Proxy) -> None:
    proxy.down()
    finding = failed(check_store(address, patience_seconds=0.1))
    assert finding.name == "put"
    assert finding.text.startswith(f"The store {proxy.endpoint} has not answered for ")


def test_the_check_finds_an_environment_without_a_server() -> None:
    finding = failed(check_store("s3://bucket/runs"))
    assert finding.name == "address"
    assert finding.text.startswith("The store s3://bucket/runs needs credentials: set PEERKD_S3_ACCESS_KEY and ")


def test_a_folder_is_checked_without_creating_it(tmp_path: Path) -> None:
    assert check_store(str(tmp_path / "new")) == [
        StoreCheckResult(name="put", passed=True, text=f"{tmp_path}/new can be written")
    ]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("mine")
    assert failed(check_store(str(tmp_path / "file"))).text.endswith("is not a folder.")


def test_the_check_finds_an_invalid_address() -> None:
    assert failed(check_store("gs://bucket")).name == "address"
