"""What goes wrong on the way to a server, and in it: a proxy in between sees to that."""

import itertools
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from peerkd.artifacts.s3 import S3Store
from peerkd.artifacts.s3_bucket import Bucket
from peerkd.artifacts.s3_connection import Settings
from peerkd.artifacts.s3_patience import Patience
from peerkd.artifacts.store import Workspace
from peerkd.errors import StoreUnavailableError
from tests.s3_proxy import Action, S3Proxy
from tests.s3_server import S3Server
from tests.unit.artifacts.conftest import SMALLEST_PART_BYTES

KEY = "trials/0123456789abcdef"
Opener = Callable[..., S3Store]

NUM_PARTS = 2
WEIGHTS = os.urandom((NUM_PARTS - 1) * SMALLEST_PART_BYTES + 1)
"""A file in parts; the last one has a byte."""

NUM_FAILURES = 3
"""As often as the client itself asks when it gets a bad status."""


def save(workspace: Workspace, name: str, content: bytes) -> None:
    (workspace.folder / name).write_bytes(content)
    workspace.save(name)


def make(store: S3Store) -> Path:
    """Go through everything that a stage and its reader do, and return what the reader gets."""
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
def test_a_request_that_fails_again_and_again_is_repeated(
    open_distant: Opener, proxy: S3Proxy, said: list[str], pattern: str, action: Action
) -> None:
    proxy.fail(pattern, action, times=NUM_FAILURES)
    folder = make(open_distant())
    assert (folder / "weights").read_bytes() == WEIGHTS
    assert (folder / "local").read_bytes() == b"here alone"
    assert {path.name for path in folder.iterdir()} == {"weights", "local"}
    assert proxy.count(pattern) > NUM_FAILURES
    assert bool(said) == (action != "503")


def test_a_download_that_is_cut_goes_on_where_it_was_cut(
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
    assert said == []


def test_an_outage_is_waited_for_and_told_once(open_distant: Opener, proxy: S3Proxy, said: list[str]) -> None:
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


def test_an_outage_in_the_middle_of_a_large_upload_costs_no_part_twice(
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


def test_after_an_outage_that_lasts_too_long_nothing_waits_once_more(open_distant: Opener, proxy: S3Proxy) -> None:
    ticks = itertools.count(0, 50)
    store = open_distant(seconds=300, clock=ticks.__next__)
    proxy.fail("partNumber=1", "drop", times=1000)
    proxy.fail("DELETE", "drop", times=1000)
    with store.open_workspace(KEY) as workspace:
        with pytest.raises(StoreUnavailableError):
            save(workspace, "weights", WEIGHTS)
        assert proxy.count("DELETE") == 1


def test_what_a_server_denies_is_not_asked_again(open_distant: Opener, proxy: S3Proxy, s3_server: S3Server) -> None:
    proxy.fail("GET", "403", times=1000)
    with pytest.raises(ValueError, match=r"^The store http\S+ denies these credentials the use of bucket ") as caught:
        open_distant().find(KEY)
    assert str(caught.value) == (
        f"The store {proxy.endpoint} denies these credentials the use of bucket {s3_server.bucket} (AccessDenied): "
        "allow them to list it and to get, put and delete in it, or set PEERKD_S3_ACCESS_KEY and PEERKD_S3_SECRET_KEY "
        "to others."
    )
    assert proxy.count("GET") == 1


@pytest.mark.parametrize("pattern", ["PUT .*partNumber=2", "POST .*uploadId="])
def test_an_upload_that_somebody_aborted_is_begun_anew(open_distant: Opener, proxy: S3Proxy, pattern: str) -> None:
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


def test_parts_of_an_upload_that_was_killed_are_aborted_by_the_next(
    open_distant: Opener, prefix: str, bucket: Bucket
) -> None:
    name = f"{prefix}/{KEY}.partial/weights"
    bucket.put_part(name, bucket.begin_upload(name, sha256=""), 1, b"left")
    other = f"{name}-of-another"
    bucket.begin_upload(other, sha256="")
    with open_distant().open_workspace(KEY) as workspace:
        save(workspace, "weights", WEIGHTS)
    assert bucket.uploads(name) == []
    assert len(bucket.uploads(other)) == 1


def test_a_file_that_changes_while_it_is_uploaded_is_saved_as_it_was_at_one_moment(
    open_distant: Opener, proxy: S3Proxy
) -> None:
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


def test_a_save_that_was_held_up_does_not_undo_a_later_one(open_distant: Opener, proxy: S3Proxy) -> None:
    """As when the store was away: a thread's request waits, and what it has read is old when it gets through."""
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


def test_a_file_that_is_saved_anew_while_it_is_loaded_is_loaded_anew(open_distant: Opener, proxy: S3Proxy) -> None:
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
def test_credentials_that_the_server_does_not_know_are_named(strict_s3_server: S3Server, keys: str) -> None:
    server = strict_s3_server
    settings = Settings(
        endpoint=server.endpoint,
        access_key=server.access_key if keys == "wrong" else "AKIAUNKNOWN",
        secret_key="something-else",
    )
    said: list[str] = []
    store = S3Store(Bucket(settings, server.bucket, patience=Patience("", tell=said.append)), "runs", cache=Path("/x"))
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "a").write_bytes(b"1")
        for ask in (lambda: store.find(KEY), lambda: workspace.save("a"), lambda: workspace.saved("")):
            with pytest.raises(
                ValueError, match=r"^The store http\S+ does not know the credentials \(\w+\): set PEERKD"
            ):
                ask()
    assert said == []


def test_credentials_that_the_server_knows_are_enough(strict_s3_server: S3Server) -> None:
    server = strict_s3_server
    settings = Settings(endpoint=server.endpoint, access_key=server.access_key, secret_key=server.secret_key)
    store = S3Store(Bucket(settings, server.bucket, patience=Patience("", tell=pytest.fail)), "a", cache=Path("/x"))
    assert store.find(KEY) is None


def test_a_bucket_that_is_not_there_is_named(s3_server: S3Server) -> None:
    settings = Settings(endpoint=s3_server.endpoint, access_key=s3_server.access_key, secret_key=s3_server.secret_key)
    bucket = Bucket(settings, "nobodys-bucket", patience=Patience("", tell=pytest.fail))
    message = (
        f"The store {s3_server.endpoint} has no bucket nobodys-bucket: make it, or name another in the address "
        "s3://BUCKET/PREFIX."
    )
    for ask in (lambda: bucket.get("a"), lambda: bucket.put("a", b"1"), lambda: bucket.names("")):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            ask()
