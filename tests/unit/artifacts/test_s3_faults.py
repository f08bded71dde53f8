"""Faults of a server and of the connection to it, which a proxy causes."""

import itertools
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from peerkd.artifacts.s3 import S3Store
from peerkd.artifacts.s3_bucket import Bucket
from peerkd.artifacts.s3_environment import Settings
from peerkd.artifacts.s3_errors import NUM_TRIES_OF_REFUSED
from peerkd.artifacts.s3_retries import StoreRetries
from peerkd.artifacts.store import Workspace
from peerkd.errors import ArtifactCorruptError, StoreUnavailableError
from tests.s3_proxy import Action, S3Proxy
from tests.s3_server import S3Server
from tests.unit.artifacts.conftest import SMALLEST_PART_BYTES

KEY = "trials/0123456789abcdef"
Opener = Callable[..., S3Store]

NUM_PARTS = 2
WEIGHTS = os.urandom((NUM_PARTS - 1) * SMALLEST_PART_BYTES + 1)
"""The content of a file that is uploaded in parts. The last part has one byte."""

NUM_FAILURES = 3


def save(workspace: Workspace, name: str, content: bytes) -> None:
    (workspace.folder / name).write_bytes(content)
    workspace.save(name)


def make(store: S3Store) -> Path:
    """Carry out everything that a stage and its reader do, and return what the reader receives."""
    with store.open_workspace(KEY) as workspace:
        save(workspace, "weights", WEIGHTS)
        save(workspace, "scratch/journal", b"1 of 1")
        (workspace.folder / "local").write_bytes(b"here alone")
        assert workspace.load("scratch/journal")
        assert workspace.saved("scratch/").keys() == {"scratch/journal"}
        store.publish(KEY, metadata={})
    return store.fetch(KEY)


READS = {
    "ask for a manifest": r"GET .*/manifest\.json",
    "look at an object": r"HEAD .*weights",
    "list": r"GET .*list-type=2",
    "read a range": r"GET .*[0-9a-f]{16}/weights",
}
WRITES = {
    "begin an upload": r"POST .*\.partial/weights\?uploads",
    "write a part": r"PUT .*\.partial/weights\?partNumber=2",
    "end an upload": r"POST .*\.partial/weights\?uploadId",
    "write a small object": r"PUT .*\.partial/scratch/journal",
    "copy a part": r"PUT .*[0-9a-f]{16}/weights\?partNumber=2",
    "end a copy": r"POST .*[0-9a-f]{16}/weights\?uploadId",
    "write the manifest": r"PUT .*/manifest\.json",
}
FAULTS = [
    pytest.param(pattern, action, id=f"{name}: {action}")
    for requests, actions in ((READS, ("drop", "503")), (WRITES, ("drop answer", "503")))
    for name, pattern in requests.items()
    for action in actions
]


@pytest.mark.parametrize(("pattern", "action"), FAULTS)
def test_a_request_that_fails_several_times_is_repeated(
    open_distant: Opener, proxy: S3Proxy, said: list[str], pattern: str, action: Action
) -> None:
    proxy.fail(pattern, action, times=NUM_FAILURES)
    folder = make(open_distant())
    assert (folder / "weights").read_bytes() == WEIGHTS
    assert (folder / "local").read_bytes() == b"here alone"
    assert {path.name for path in folder.iterdir()} == {"weights", "local"}
    assert proxy.count(pattern) > NUM_FAILURES
    # Each thread that writes parts fails once.
    assert {text.partition("(")[0].rstrip() for text in said} == {
        "the store S3 does not answer, trying again for up to 60 s",
        "the store S3 answers again",
    }


def test_a_truncated_download_continues_where_it_ended(
    open_distant: Opener, proxy: S3Proxy, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    num_read: list[int] = []
    read = Bucket.read

    def counted(bucket: Bucket, *args: object, **kwargs: object) -> int:
        num_read.append(read(bucket, *args, **kwargs))  # type: ignore[arg-type]
        return num_read[-1]

    monkeypatch.setattr(Bucket, "read", counted)
    pattern = r"GET .*[0-9a-f]{16}/weights"
    proxy.fail(pattern, "cut", times=2)
    assert (make(open_distant()) / "weights").read_bytes() == WEIGHTS
    assert proxy.count(pattern) == NUM_PARTS + 2
    assert sum(num_read) == len(WEIGHTS) + len(b"1 of 1") + len(b"here alone")
    assert all("not answer" in text or "answers again" in text for text in said)


@pytest.mark.parametrize(
    ("pattern", "action"),
    [
        (r"GET .*/manifest\.json", "damage answer"),
        (r"GET .*[0-9a-f]{16}/weights", "damage answer"),
        (r"GET .*journal", "damage answer"),
        (r"GET .*list-type=2", "damage answer"),
        (r"PUT .*/manifest\.json", "damage"),
        (r"PUT .*journal", "damage"),
        (r"PUT .*\.partial/weights\?partNumber=1", "damage"),
        (r"PUT .*[0-9a-f]{16}/local", "damage"),
    ],
)
def test_content_that_is_damaged_in_transit_is_requested_or_sent_again(
    open_distant: Opener, proxy: S3Proxy, pattern: str, action: Action
) -> None:
    store = open_distant()
    with store.open_workspace("other/key") as workspace:
        save(workspace, "a", b"1")
    proxy.fail(pattern, action, times=2)
    folder = make(store)
    assert (folder / "weights").read_bytes() == WEIGHTS
    assert (folder / "local").read_bytes() == b"here alone"
    assert open_distant(cache="other cache").verify(KEY).files.keys() == {"weights", "local"}


def test_a_manifest_that_always_arrives_damaged_deletes_nothing(
    open_distant: Opener, proxy: S3Proxy, bucket: Bucket, prefix: str
) -> None:
    make(open_distant())
    before = bucket.names(prefix)
    proxy.fail(r"GET .*/manifest\.json", "damage answer", times=1000)
    store = open_distant(cache="other cache")
    message = (
        rf"^The content of \S+/manifest\.json is not what was saved\. .* --store s3://{bucket.name}/{prefix} {KEY}'"
    )
    with store.open_workspace(KEY, shared=True) as workspace:
        (workspace.folder / "local").write_bytes(b"of another")
        with pytest.raises(ArtifactCorruptError, match=message):
            store.publish(KEY, metadata={})
    assert bucket.names(prefix) == before


def test_an_outdated_list_removes_no_known_file(open_distant: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_distant().open_workspace(KEY) as workspace:
        save(workspace, "scratch/done-1", b"")
        save(workspace, "scratch/done-2", b"")
        assert workspace.saved("scratch/").keys() == {"scratch/done-1", "scratch/done-2"}
        workspace.discard("scratch/done-2")
        monkeypatch.setattr(Bucket, "names", lambda bucket, prefix: {})
        assert workspace.saved("scratch/").keys() == {"scratch/done-1"}
        assert workspace.saved("other/") == {}


def test_a_list_that_lacks_a_saved_file_does_not_lead_to_an_artifact_without_it(
    open_distant: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_distant()
    lists: list[str] = []
    list_once = Bucket.list_once

    def stale(bucket: Bucket, prefix: str) -> Mapping[str, str]:
        lists.append(prefix)
        return {} if len(lists) == 1 else list_once(bucket, prefix)

    with store.open_workspace(KEY) as workspace:
        save(workspace, "weights", b"1")
        (workspace.folder / "weights").unlink()
        monkeypatch.setattr(Bucket, "list_once", stale)
        assert store.publish(KEY, metadata={}).files.keys() == {"weights"}


def test_a_deleted_file_that_is_still_listed_does_no_harm(
    open_distant: Opener, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_distant()
    list_once = Bucket.list_once
    ghost = f"{prefix}/{KEY}.partial/ghost"
    monkeypatch.setattr(
        Bucket,
        "list_once",
        lambda bucket, prefix: {**list_once(bucket, prefix), **({ghost: "1"} if ghost.startswith(prefix) else {})},
    )
    with store.open_workspace(KEY) as workspace:
        save(workspace, "weights", b"1")
        assert store.publish(KEY, metadata={}).files.keys() == {"weights"}


def test_an_outage_is_waited_out_and_reported_once(open_distant: Opener, proxy: S3Proxy, said: list[str]) -> None:
    store = open_distant()
    with store.open_workspace(KEY) as workspace:
        proxy.down()
        back = threading.Timer(0.5, proxy.up)
        back.start()
        save(workspace, "scratch/a", b"1")
        back.join()
        save(workspace, "scratch/b", b"1")
    assert said[0].startswith("the store S3 does not answer, trying again for up to 60 s (")
    assert said[1:] == ["the store S3 answers again"]


def test_an_outage_during_a_large_upload_repeats_no_finished_part(
    open_distant: Opener, proxy: S3Proxy, said: list[str]
) -> None:
    store = open_distant()
    proxy.fail("PUT .*partNumber=2", "hold")
    with store.open_workspace(KEY) as workspace:
        upload = threading.Thread(target=save, args=(workspace, "weights", WEIGHTS))
        upload.start()
        assert proxy.held.wait(60)
        proxy.fail("PUT .*partNumber=2", "drop", times=3)
        proxy.go_on.set()
        upload.join()
        assert proxy.count("POST .*uploads") == 1
        assert proxy.count("PUT .*partNumber=1") == 1
        (workspace.folder / "weights").unlink()
        assert workspace.load("weights")
        assert (workspace.folder / "weights").read_bytes() == WEIGHTS


def test_an_outage_that_lasts_too_long_is_an_error(open_distant: Opener, proxy: S3Proxy, said: list[str]) -> None:
    store = open_distant(seconds=300, clock=itertools.count(0, 50).__next__)
    proxy.down()
    with pytest.raises(StoreUnavailableError) as caught:
        store.find(KEY)
    assert re.fullmatch(r"The store S3 has not answered for 300 s \(.*Connection refused\)\.", str(caught.value))
    assert len(said) == 1


def test_after_an_outage_that_lasts_too_long_no_request_waits_again(open_distant: Opener, proxy: S3Proxy) -> None:
    ticks = itertools.count(0, 50)
    store = open_distant(seconds=300, clock=ticks.__next__)
    proxy.fail("partNumber=1", "drop", times=1000)
    proxy.fail("DELETE", "drop", times=1000)
    with store.open_workspace(KEY) as workspace:
        with pytest.raises(StoreUnavailableError):
            save(workspace, "weights", WEIGHTS)
        assert proxy.count("DELETE") == 1


def test_a_denied_request_is_repeated_only_a_few_times(
    open_distant: Opener, proxy: S3Proxy, s3_server: S3Server
) -> None:
    proxy.fail("GET", "403", times=1000)
    with pytest.raises(ValueError, match=r"^The store http\S+ denies these credentials the use of bucket ") as caught:
        open_distant().find(KEY)
    assert str(caught.value) == (
        f"The store {proxy.endpoint} denies these credentials the use of bucket {s3_server.bucket} (AccessDenied): "
        "allow them to list it and to get its objects, and in a store also to put and delete objects, or set "
        "PEERKD_S3_ACCESS_KEY and PEERKD_S3_SECRET_KEY to others."
    )
    assert proxy.count("GET") == NUM_TRIES_OF_REFUSED


@pytest.mark.parametrize("pattern", ["PUT .*partNumber=2", "POST .*uploadId="])
def test_an_upload_that_was_aborted_starts_again(open_distant: Opener, proxy: S3Proxy, pattern: str) -> None:
    proxy.fail(pattern, "404")
    with open_distant().open_workspace(KEY) as workspace:
        save(workspace, "weights", WEIGHTS)
        assert proxy.count("POST .*uploads") == 2
        assert workspace.load("weights")
        assert (workspace.folder / "weights").read_bytes() == WEIGHTS


def test_an_upload_that_is_aborted_each_time_is_an_error(open_distant: Opener, proxy: S3Proxy) -> None:
    proxy.fail("POST .*uploadId=", "404", times=1000)
    with (
        open_distant().open_workspace(KEY) as workspace,
        pytest.raises(StoreUnavailableError, match=r"^The upload of \S+/weights was lost 3 times, or the file changed"),
    ):
        save(workspace, "weights", WEIGHTS)


def test_the_next_upload_aborts_the_parts_of_a_killed_one(open_distant: Opener, prefix: str, bucket: Bucket) -> None:
    name = f"{prefix}/{KEY}.partial/weights"
    bucket.put_part(name, bucket.begin_upload(name, sha256=""), 1, b"left")
    other = f"{name}-of-another"
    bucket.begin_upload(other, sha256="")
    with open_distant().open_workspace(KEY) as workspace:
        save(workspace, "weights", WEIGHTS)
    assert bucket.uploads(name) == []
    assert len(bucket.uploads(other)) == 1


def test_a_file_that_changes_during_its_upload_is_saved_consistently(open_distant: Opener, proxy: S3Proxy) -> None:
    changed = bytes(len(WEIGHTS))
    proxy.fail("PUT .*partNumber=1", "hold")
    with open_distant().open_workspace(KEY) as workspace:
        upload = threading.Thread(target=save, args=(workspace, "weights", WEIGHTS))
        upload.start()
        assert proxy.held.wait(60)
        (workspace.folder / "weights").write_bytes(changed)
        proxy.go_on.set()
        upload.join()
        assert workspace.load("weights")
        assert (workspace.folder / "weights").read_bytes() == changed


def test_a_delayed_save_does_not_undo_a_later_one(open_distant: Opener, proxy: S3Proxy) -> None:
    """A request of one thread waits during an outage. Its content is outdated when the request succeeds."""
    proxy.fail(r"PUT .*journal", "hold")
    with open_distant().open_workspace(KEY) as workspace:
        first = threading.Thread(target=save, args=(workspace, "scratch/journal", b"1 of 3"))
        first.start()
        assert proxy.held.wait(60)
        second = threading.Thread(target=save, args=(workspace, "scratch/journal", b"2 of 3"))
        second.start()
        second.join(timeout=1)
        proxy.go_on.set()
        first.join()
        second.join()
        assert workspace.load("scratch/journal")
        assert (workspace.folder / "scratch/journal").read_bytes() == b"2 of 3"


def test_a_file_that_is_saved_during_its_download_is_loaded_again(open_distant: Opener, proxy: S3Proxy) -> None:
    loaded: list[bool] = []
    with open_distant().open_workspace(KEY) as workspace:
        save(workspace, "scratch/journal", b"1 of 3")
        proxy.fail(r"GET .*journal", "hold")
        load = threading.Thread(target=lambda: loaded.append(workspace.load("scratch/journal")))
        load.start()
        assert proxy.held.wait(60)
        save(workspace, "scratch/journal", b"2 of 3")
        proxy.go_on.set()
        load.join()
        assert (loaded, (workspace.folder / "scratch/journal").read_bytes()) == ([True], b"2 of 3")
        assert {path.name for path in (workspace.folder / "scratch").iterdir()} == {"journal"}


@pytest.mark.parametrize("keys", ["unknown", "wrong"])
def test_unknown_credentials_are_reported(strict_s3_server: S3Server, keys: str) -> None:
    server = strict_s3_server
    settings = Settings(
        endpoint=server.endpoint,
        access_key=server.access_key if keys == "wrong" else "AKIAUNKNOWN",
        secret_key="something-else",
    )
    said: list[str] = []
    store = S3Store(
        Bucket(settings, server.bucket, retries=StoreRetries("", notify=said.append, sleep=lambda _: None)),
        "runs",
        cache=Path("/x"),
    )
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "a").write_bytes(b"1")
        for ask in (lambda: store.find(KEY), lambda: workspace.save("a"), lambda: workspace.saved("")):
            with pytest.raises(
                ValueError, match=r"^The store http\S+ does not know the credentials \(\w+\): set PEERKD"
            ):
                ask()
    assert said == []


def test_valid_credentials_are_enough(strict_s3_server: S3Server) -> None:
    server = strict_s3_server
    settings = Settings(endpoint=server.endpoint, access_key=server.access_key, secret_key=server.secret_key)
    store = S3Store(
        Bucket(settings, server.bucket, retries=StoreRetries("", notify=pytest.fail, sleep=lambda _: None)),
        "a",
        cache=Path("/x"),
    )
    assert store.find(KEY) is None


def test_a_missing_bucket_is_reported(s3_server: S3Server) -> None:
    settings = Settings(endpoint=s3_server.endpoint, access_key=s3_server.access_key, secret_key=s3_server.secret_key)
    bucket = Bucket(settings, "nobodys-bucket", retries=StoreRetries("", notify=pytest.fail, sleep=lambda _: None))
    message = (
        f"The store {s3_server.endpoint} has no bucket nobodys-bucket: create it, or name another in the address "
        "s3://BUCKET/PREFIX."
    )
    for ask in (lambda: bucket.get("a"), lambda: bucket.put("a", b"1"), lambda: bucket.names("")):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            ask()
