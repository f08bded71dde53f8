import errno
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from peerkd.artifacts.cache import cache_folder, fetch_once
from peerkd.artifacts.s3 import S3Store
from peerkd.artifacts.store import Manifest, describe_folder
from peerkd.errors import ArtifactCorruptError, StoreUnavailableError
from tests.s3_proxy import S3Proxy
from tests.s3_server import S3Server

KEY = "peers/0123456789abcdef"


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_bytes(b"1")
    return describe_folder(tmp_path / "source", key=KEY, metadata={})


class Downloads:
    """A download that fills a folder and is counted."""

    def __init__(self, content: bytes = b"1") -> None:
        self.content, self.num = content, 0

    def __call__(self, folder: Path, names: Sequence[str]) -> None:
        self.num += 1
        (folder / "a").write_bytes(self.content)


def test_a_cached_file_is_not_downloaded_again(tmp_path: Path, manifest: Manifest) -> None:
    download = Downloads()
    folders = {fetch_once(tmp_path / "cache", manifest, download=download) for _ in range(2)}
    assert [(path.name, path.read_bytes()) for folder in folders for path in folder.iterdir()] == [("a", b"1")]
    assert download.num == 1


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"2"), lambda path: path.unlink()])
def test_a_damaged_cached_file_is_downloaded_again(
    tmp_path: Path, manifest: Manifest, damage: Callable[[Path], None]
) -> None:
    download = Downloads()
    damage(fetch_once(tmp_path / "cache", manifest, download=download) / "a")
    assert (fetch_once(tmp_path / "cache", manifest, download=download) / "a").read_bytes() == b"1"
    assert download.num == 2


def test_a_file_that_arrives_damaged_is_not_kept(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(ArtifactCorruptError, match=rf"^{KEY}: the content of a is not what its manifest says\.$"):
        fetch_once(tmp_path / "cache", manifest, download=Downloads(b"2"))
    assert [path for path in (tmp_path / "cache").rglob("*") if path.name == "a"] == []
    assert fetch_once(tmp_path / "cache", manifest, download=Downloads()).is_dir()


def test_only_files_that_arrive_damaged_are_requested_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in "ab":
        (source / name).write_bytes(b"right")
    asked: list[Sequence[str]] = []

    def download(folder: Path, names: Sequence[str]) -> None:
        asked.append(names)
        for name in names:
            (folder / name).write_bytes(b"wrong" if name == "b" and len(asked) < 3 else b"right")

    folder = fetch_once(tmp_path / "cache", describe_folder(source, key=KEY, metadata={}), download=download)
    assert (folder / "b").read_bytes() == b"right"
    assert asked == [["a", "b"], ["b"], ["b"]]


def test_leftovers_of_a_killed_process_are_deleted(tmp_path: Path, manifest: Manifest) -> None:
    def killed(folder: Path, names: Sequence[str]) -> None:
        (folder / "a").write_bytes(b"half")
        os.replace(folder, f"{folder}-kept")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_once(tmp_path / "cache", manifest, download=killed)
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.name == "a"]) == 1
    folder = fetch_once(tmp_path / "cache", manifest, download=Downloads())
    assert [path for path in (tmp_path / "cache").rglob("*") if path.name == "a"] == [folder / "a"]


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "cache").write_text("mine")
    with pytest.raises(StoreUnavailableError) as caught:
        fetch_once(tmp_path / "cache", manifest, download=Downloads())
    assert str(caught.value) == (
        f"The folder {tmp_path}/cache cannot be used (Not a directory): PEERKD_CACHE_FOLDER may name another."
    )


def test_a_full_disk_is_reported_and_partial_files_are_not_kept(tmp_path: Path, manifest: Manifest) -> None:
    def fill(folder: Path, names: Sequence[str]) -> None:
        (folder / "a").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(
        StoreUnavailableError, match=r" cannot be used \(No space left on device\): PEERKD_CACHE_FOLDER "
    ):
        fetch_once(tmp_path / "cache", manifest, download=fill)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.name == "a"] == []


def test_each_store_has_its_own_folder_in_the_cache_of_the_environment() -> None:
    def folder(address: str = "http://a/b/c", **environment: str) -> Path:
        return cache_folder(address, environment=environment)

    assert folder(PEERKD_CACHE_FOLDER="/cache", XDG_CACHE_HOME="/other").parent == Path("/cache")
    assert folder(XDG_CACHE_HOME="/other").parent == Path("/other/peerkd")
    assert folder().parent == Path("~/.cache/peerkd").expanduser()
    assert folder() == folder()
    assert folder() != folder("http://a/b/d")


def test_one_of_several_processes_downloads_an_artifact(
    open_distant: Callable[..., S3Store], s3_server: S3Server, proxy: S3Proxy, prefix: str, tmp_path: Path
) -> None:
    store = open_distant()
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "weights").write_bytes(bytes(10_000_000))
        store.publish(KEY, metadata={})
    script = textwrap.dedent(
        """
        import sys
        from peerkd.artifacts.open import open_store

        print(open_store(sys.argv[1]).fetch(sys.argv[2]))
        """
    )
    environment = {
        **os.environ,
        **s3_server.environment(endpoint=proxy.endpoint),
        "PEERKD_CACHE_FOLDER": str(tmp_path / "shared cache"),
    }
    command = [sys.executable, "-c", script, f"s3://{s3_server.bucket}/{prefix}", KEY]
    # The download does not end before all processes have requested the artifact.
    proxy.fail(r"GET [^?]*/weights", "hold")
    num_asked = proxy.count(r"GET .*manifest\.json")
    fetching = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    deadline = time.monotonic() + 60
    while proxy.count(r"GET .*manifest\.json") < num_asked + 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    proxy.go_on.set()
    folders = {process.communicate(timeout=60)[0].strip() for process in fetching}
    assert [process.returncode for process in fetching] == [0, 0, 0]
    assert len(folders) == 1
    assert (Path(folders.pop()) / "weights").read_bytes() == bytes(10_000_000)
    assert proxy.count(r"GET [^?]*/weights") == 1
