"""Publishing that may be interrupted at any request, or compete with another publisher."""

import itertools
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from minio import Minio
from urllib3 import BaseHTTPResponse

from peerkd.artifacts import s3_publish
from peerkd.artifacts.s3 import S3Store
from peerkd.artifacts.s3_bucket import Bucket, Stored
from peerkd.artifacts.s3_connection import CheckedPool
from peerkd.artifacts.s3_errors import NUM_TRIES_OF_REFUSED
from peerkd.artifacts.s3_transfer import copy_object
from peerkd.artifacts.store import MANIFEST_NAME, Manifest
from peerkd.errors import ArtifactCorruptError
from tests.conftest import IS_SLOW
from tests.s3_proxy import S3Proxy
from tests.unit.artifacts.conftest import SMALLEST_PART_BYTES

KEY = "trials/0123456789abcdef"
Opener = Callable[..., S3Store]
CONTENTS = {"large": os.urandom(SMALLEST_PART_BYTES + 1), "local": b"here alone", "small": b"saved"}


class KilledError(BaseException):
    """The end of a process, which sends no further requests."""


def kill_at(bucket: Bucket, number: int) -> Bucket:
    """Return the same bucket for a process that is killed at the request with this number."""
    victim, pool = bucket.with_time_limit(0), CheckedPool(None)
    send, numbers, lock = pool.urlopen, itertools.count(1), threading.Lock()

    def counted(*args: Any, **kwargs: Any) -> BaseHTTPResponse:
        with lock:
            current = next(numbers)
        if current < number:
            return send(*args, **kwargs)
        raise KilledError

    pool.urlopen = counted  # type: ignore[method-assign]
    address, keys = urlsplit(bucket.address).netloc, bucket._client._provider
    victim._client = Minio(address, credentials=keys, secure=False, region="us-east-1", http_client=pool)
    return victim


def publish(bucket: Bucket, prefix: str, key: str, cache: Path) -> Manifest:
    store = S3Store(bucket, prefix, cache=cache)
    with store.open_workspace(key) as workspace:
        (workspace.folder / "local").write_bytes(CONTENTS["local"])
        return store.publish(key, metadata={})


def test_a_publisher_killed_at_any_request_leaves_no_partial_artifact(
    bucket: Bucket, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The lists are requested in a row without a write in between, so one list represents all.
    monkeypatch.setattr(s3_publish, "_NUM_LISTS", 1)
    with S3Store(bucket, prefix, cache=tmp_path).open_workspace("master") as workspace:
        for name in ("large", "small", "scratch/journal"):
            (workspace.folder / name).write_bytes(CONTENTS.get(name, b"3 of 3"))
            workspace.save(name)
    num_kills, outcomes = 0, set()
    step = 1 if IS_SLOW else 3
    for num_tried, number in enumerate(itertools.count(1, step), start=1):
        key = f"trials/{number}"
        for name in ("large", "small", "scratch/journal"):
            master = f"{prefix}/master.partial/{name}"
            stored = bucket.head(master)
            assert stored is not None
            copy_object(bucket, master, stored, f"{prefix}/{key}.partial/{name}")
        try:
            publish(kill_at(bucket, number), prefix, key, tmp_path)
        except KilledError:
            num_kills += 1
        reader = S3Store(bucket, prefix, cache=tmp_path / f"{number}")
        outcomes.add(reader.find(key) is not None)
        if reader.find(key):
            assert contents(reader.fetch(key)) == CONTENTS
        manifest = publish(bucket, prefix, key, tmp_path)
        assert manifest.files.keys() == CONTENTS.keys()
        assert contents(reader.fetch(key)) == CONTENTS
        assert len(bucket.names(f"{prefix}/{key}/")) == len(CONTENTS) + 1
        assert bucket.names(f"{prefix}/{key}.partial/") == {}
        if num_kills < num_tried:
            break
    assert num_kills > 10 / step
    assert outcomes == {False, True}


def test_a_publisher_that_continues_for_another_sends_only_missing_files(open_distant: Opener, proxy: S3Proxy) -> None:
    proxy.fail(f"PUT .*{MANIFEST_NAME}", "403", times=NUM_TRIES_OF_REFUSED)
    for _ in range(2):
        store = open_distant()
        with store.open_workspace(KEY) as workspace:
            (workspace.folder / "a").write_bytes(b"1")
            with suppress(ValueError):
                store.publish(KEY, metadata={})
    assert contents(store.fetch(KEY)) == {"a": b"1"}
    assert proxy.count("PUT .*/a$") == 1
    assert proxy.count(f"PUT .*{MANIFEST_NAME}") == NUM_TRIES_OF_REFUSED + 1


def test_of_two_simultaneous_publishers_the_first_wins_and_its_files_stay_intact(
    open_distant: Opener, proxy: S3Proxy, bucket: Bucket, prefix: str, tmp_path: Path
) -> None:
    proxy.fail(f"PUT .*{MANIFEST_NAME}", "hold")
    late: list[Manifest] = []

    def publish_late() -> None:
        store = open_distant()
        with store.open_workspace(KEY) as workspace:
            (workspace.folder / "a").write_bytes(b"of the second")
            late.append(store.publish(KEY, metadata={}))

    second = threading.Thread(target=publish_late)
    second.start()
    assert proxy.held.wait(60)
    store = S3Store(bucket, prefix, cache=tmp_path / "other cache")
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "a").write_bytes(b"of the first")
        first = store.publish(KEY, metadata={})
    proxy.go_on.set()
    second.join()
    assert late == [first]
    assert contents(store.fetch(KEY)) == {"a": b"of the first"}
    assert len(bucket.names(f"{prefix}/{KEY}/")) == 2


def test_publishing_works_on_a_server_without_conditional_writes(open_distant: Opener, proxy: S3Proxy) -> None:
    proxy.fail(f"PUT .*{MANIFEST_NAME}", "501")
    store = open_distant()
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "a").write_bytes(b"1")
        assert store.publish(KEY, metadata={}) == store.find(KEY)
    assert proxy.count(f"PUT .*{MANIFEST_NAME}") == 2


def test_deleting_leftovers_may_fail(
    open_distant: Opener, proxy: S3Proxy, bucket: Bucket, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_publish, "_CLEAR_SECONDS", 0.0)
    proxy.fail("POST .*delete", "drop", times=1000)
    store = open_distant()
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "a").write_bytes(b"1")
        workspace.save("a")
        store.publish(KEY, metadata={})
    assert proxy.count("POST .*delete") == 1
    assert contents(store.fetch(KEY)) == {"a": b"1"}
    assert len(bucket.names(f"{prefix}/{KEY}.partial/")) == 1


def test_saved_files_are_copied_by_the_server_and_not_sent_again(open_distant: Opener, proxy: S3Proxy) -> None:
    store = open_distant()
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "small").write_bytes(b"1")
        (workspace.folder / "large").write_bytes(CONTENTS["large"])
        workspace.save("small", "large")
        num_sent = sum("PUT" in request for request in proxy.requests)
        store.publish(KEY, metadata={})
    sent = [request for request in proxy.requests if "PUT" in request][num_sent:]
    assert len(sent) == 1 + 2 + 1
    assert contents(store.fetch(KEY)) == {"small": b"1", "large": CONTENTS["large"]}


def test_a_file_that_changed_since_it_was_saved_is_published_with_its_changes(open_distant: Opener) -> None:
    store = open_distant()
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "a").write_bytes(b"half")
        workspace.save("a")
        (workspace.folder / "a").write_bytes(b"done")
        store.publish(KEY, metadata={})
    assert contents(store.fetch(KEY)) == {"a": b"done"}


@pytest.mark.parametrize(
    ("pattern", "num_bytes"),
    [(r"PUT .*[0-9a-f]{16}/a$", 1), (r"PUT .*[0-9a-f]{16}/a\?partNumber=2", SMALLEST_PART_BYTES + 1)],
    ids=["in one request", "between two parts"],
)
def test_a_file_that_is_saved_while_it_is_copied_is_read_again(
    open_distant: Opener, proxy: S3Proxy, bucket: Bucket, prefix: str, pattern: str, num_bytes: int
) -> None:
    first, second = (bytes([value]) * num_bytes for value in (1, 2))
    bucket.put(f"{prefix}/{KEY}.partial/a", first)
    proxy.fail(pattern, "hold")
    store, published = open_distant(), []

    def publish() -> None:
        with store.open_workspace(KEY):
            published.append(store.publish(KEY, metadata={}))

    publisher = threading.Thread(target=publish)
    publisher.start()
    assert proxy.held.wait(60)
    bucket.put(f"{prefix}/{KEY}.partial/a", second)
    proxy.go_on.set()
    publisher.join()
    assert published == [store.find(KEY)]
    assert contents(store.fetch(KEY)) == {"a": second}


def test_an_object_that_was_not_saved_by_the_program_is_not_published(
    open_distant: Opener, bucket: Bucket, prefix: str
) -> None:
    name = f"{prefix}/{KEY}.partial/a"
    bucket._send("PUT", name, body=b"1")
    store = open_distant()
    with store.open_workspace(KEY) as workspace:
        with pytest.raises(ArtifactCorruptError, match=rf"^{name} in http\S+ has no SHA-256: it was not saved by this"):
            store.publish(KEY, metadata={})
        with pytest.raises(ArtifactCorruptError, match=rf"^The content of {name} is not what was saved\. Move it"):
            workspace.load("a")
    assert store.find(KEY) is None


def test_an_answer_that_lost_a_header_is_requested_again(open_distant: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    head, lost = Bucket.head, []

    def damaged(bucket: Bucket, name: str) -> Stored | None:
        stored = head(bucket, name)
        if stored and not lost:
            lost.append(name)
            return replace(stored, sha256=None)
        return stored

    store = open_distant()
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "a").write_bytes(b"1")
        workspace.save("a")
        monkeypatch.setattr(Bucket, "head", damaged)
        store.publish(KEY, metadata={})
    assert lost
    assert contents(store.fetch(KEY)) == {"a": b"1"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
