import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from peerkd.artifacts.filesystem import FilesystemStore, check_writable
from peerkd.artifacts.store import MANIFEST_NAME, SCRATCH_NAME, Manifest
from peerkd.errors import StoreUnavailableError, WorkspaceBusyError

KEY = "trials/0123456789abcdef"

needs_permissions = pytest.mark.skipif(os.geteuid() == 0, reason="to root nothing is forbidden")


@contextmanager
def another_process_at_work(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that locks the workspace until it is killed."""
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from peerkd.artifacts.filesystem import FilesystemStore

        with FilesystemStore(Path(sys.argv[1])).open_workspace(sys.argv[2]) as workspace:
            (workspace.folder / "half").write_text("done")
            print("at work", flush=True)
            time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script, root, KEY], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"at work\n"
            yield process
        finally:
            process.kill()


def test_a_process_locks_its_workspace_until_it_is_killed(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path, lock_wait_seconds=0.1)
    with another_process_at_work(tmp_path) as process:
        with pytest.raises(WorkspaceBusyError) as caught, store.open_workspace(KEY):
            pass
        assert str(caught.value) == f"Another process is at work on {KEY} in {tmp_path}; wait for it or end it."
        process.send_signal(signal.SIGKILL)
        process.wait()
        with store.open_workspace(KEY) as workspace:
            assert (workspace.folder / "half").read_text() == "done"


def test_a_workspace_has_one_exclusive_user_at_a_time(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path, lock_wait_seconds=0)
    with store.open_workspace(KEY):
        for shared in (False, True):
            with pytest.raises(
                WorkspaceBusyError, match=rf"^Another process is at work on {KEY} in .+; wait for it or"
            ):
                store.open_workspace(KEY, shared=shared).__enter__()
        with store.open_workspace(f"{KEY}1"):
            pass
    with store.open_workspace(KEY):
        pass


def test_a_shared_workspace_is_not_opened_exclusively(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path, lock_wait_seconds=0)
    with store.open_workspace(KEY, shared=True) as one, store.open_workspace(KEY, shared=True) as other:
        assert one.folder == other.folder
        with pytest.raises(WorkspaceBusyError):
            store.open_workspace(KEY).__enter__()
    with store.open_workspace(KEY) as workspace:
        assert workspace.folder == one.folder


def test_a_late_write_to_a_shared_workspace_does_not_change_the_published_artifact(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    with store.open_workspace(KEY, shared=True) as workspace, (workspace.folder / "a").open("w") as file:
        print("done", file=file, flush=True)
        store.publish(KEY, metadata={})
        print("late", file=file, flush=True)
        assert (store.fetch(KEY) / "a").read_text() == "done\n"


def test_a_waiting_process_opens_the_workspace_after_its_release(tmp_path: Path) -> None:
    holder = FilesystemStore(tmp_path).open_workspace(KEY)
    holder.__enter__()
    letting_go = threading.Timer(0.2, holder.__exit__, (None, None, None))
    letting_go.start()
    with FilesystemStore(tmp_path, lock_wait_seconds=10).open_workspace(KEY) as workspace:
        assert workspace.folder.is_dir()
    letting_go.join()


def test_publishing_is_one_rename_of_a_complete_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FilesystemStore(tmp_path)
    seen: list[tuple[set[str], bool]] = []
    rename = Path.rename

    def watched(path: Path, target: Path) -> Path:
        seen.append(({file.name for file in path.iterdir()}, target.exists()))
        moved = rename(path, target)
        assert store.fetch(KEY) == target
        return moved

    monkeypatch.setattr(Path, "rename", watched)
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "a").write_bytes(b"1")
        store.publish(KEY, metadata={})
    assert seen == [({"a", "scratch", MANIFEST_NAME}, False)]


def test_a_kill_before_the_rename_publishes_nothing_and_the_next_attempt_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    store = FilesystemStore(tmp_path)

    def attempt(name: str) -> Manifest:
        with store.open_workspace(KEY) as workspace:
            (workspace.folder / name).write_text(name)
            return store.publish(KEY, metadata={})

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            attempt("a")
    assert store.find(KEY) is None
    manifest = attempt("b")
    assert manifest.files.keys() == {"a", "b"}
    assert store.fetch(KEY) == tmp_path / KEY


def test_queries_create_no_folder(tmp_path: Path) -> None:
    assert FilesystemStore(tmp_path / "store").find(KEY) is None
    assert not (tmp_path / "store").exists()


def test_a_root_that_is_a_file_cannot_be_written_and_contains_no_artifact(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.write_text("mine")
    store = FilesystemStore(root)
    assert store.find(KEY) is None
    with pytest.raises(StoreUnavailableError) as caught, store.open_workspace(KEY):
        pass
    assert str(caught.value) == f"The folder {root} cannot be written: File exists."
    assert root.read_text() == "mine"


@needs_permissions
def test_a_root_that_is_read_only_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="forbid this to user"), FilesystemStore(tmp_path).open_workspace(KEY):
        pass


@pytest.mark.parametrize("name", [".", "new", "new/and/deep"])
def test_a_folder_that_can_be_written_passes_and_is_not_created(tmp_path: Path, name: str) -> None:
    check_writable(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_relative_folder_is_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_writable(Path("runs"))
    Path("runs").write_text("mine")
    with pytest.raises(ValueError, match=r"^output must be a folder that can be written, got runs: .+/runs is not"):
        check_writable(Path("runs"))


@pytest.mark.parametrize("below", ["", "/a", "/a/b"])
def test_a_path_through_a_file_is_refused(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    root = f"{file}{below}"
    message = f"output must be a folder that can be written, got {root}: {file} is not a folder."
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_writable(Path(root))


def test_a_file_system_that_accepts_no_files_is_refused() -> None:
    message = "output must be a folder that can be written, got /proc/runs: /proc accepts no files "
    with pytest.raises(ValueError, match=f"^{message}"):
        check_writable(Path("/proc/runs"))


@needs_permissions
@pytest.mark.parametrize("mode", [0o500, 0o600, 0o000])
def test_a_folder_that_may_not_be_written_or_entered_is_refused(tmp_path: Path, mode: int) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode)
    root = closed / "runs"
    message = f"output must be a folder that can be written, got {root}: {closed} is read-only."
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_writable(root)


@pytest.mark.parametrize("content", [b"", b'{"files": {"a"', b"\0" * 100])
def test_an_artifact_with_an_empty_manifest_is_set_aside_and_made_again(tmp_path: Path, content: bytes) -> None:
    said: list[str] = []
    store = FilesystemStore(tmp_path, notify=said.append)

    def attempt() -> Manifest:
        with store.open_workspace(KEY) as workspace:
            (workspace.folder / "a").write_text("1")
            return store.publish(KEY, metadata={})

    first = attempt()
    for number in (1, 2):
        (tmp_path / KEY / MANIFEST_NAME).write_bytes(content)
        assert store.find(KEY) is None
        assert attempt() == first
        assert (tmp_path / f"{KEY}.damaged-{number}" / "a").read_text() == "1"
    assert said == [
        f"The manifest of {KEY} in {tmp_path} is truncated, as after a power cut: the artifact was moved to "
        f"{KEY}.damaged-{number} and will be made again."
        for number in (1, 2)
    ]
    assert store.fetch(KEY) == tmp_path / KEY


def test_another_process_may_have_set_the_artifact_aside_first(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    with store.open_workspace(KEY):
        store.publish(KEY, metadata={})
    (tmp_path / KEY / MANIFEST_NAME).write_bytes(b"")
    with store.open_workspace(KEY, shared=True), store.open_workspace(KEY, shared=True):
        pass
    assert [path.name for path in (tmp_path / KEY).parent.glob("*.damaged-*")] == ["0123456789abcdef.damaged-1"]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, shared: bool
) -> None:
    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(ValueError, match=rf"^The file system of .+ has no locks \(flock: {os.strerror(number)}\), "):
        FilesystemStore(tmp_path).open_workspace(KEY, shared=shared).__enter__()


def test_a_workspace_on_a_file_system_without_locks_is_never_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FilesystemStore(tmp_path)
    with store.open_workspace(KEY):
        store.publish(KEY, metadata={})
    left = tmp_path / f"{KEY}.partial" / SCRATCH_NAME / "journal"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"1")

    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patched:
        patched.setattr("fcntl.flock", flock)
        assert store.clear_away(KEY) == 0
    assert left.exists()
    assert store.clear_away(KEY) == 1


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of syncs and renames in order: ``sync NAME`` and ``rename NAME``."""
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        steps.append("sync " + Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        steps.append(f"rename {path.name}")
        return rename(path, target)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    return steps


def test_publishing_syncs_files_and_folders_before_the_rename_and_the_folder_above_after_it(
    tmp_path: Path, steps: list[str]
) -> None:
    store = FilesystemStore(tmp_path)
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "networks").mkdir()
        (workspace.folder / "networks" / "a").write_bytes(b"1")
        (workspace.folder / "b").write_bytes(b"2")
        (workspace.folder / SCRATCH_NAME / "journal").write_bytes(b"3")
        store.publish(KEY, metadata={})
    name = KEY.rpartition("/")[2]
    assert steps[0] == f"sync {tmp_path.name}"
    before = {"sync a", "sync b", f"sync {MANIFEST_NAME}", "sync networks", f"sync {name}.partial"}
    assert set(steps[1 : steps.index(f"rename {name}.partial")]) == before
    assert steps[-2:] == [f"rename {name}.partial", "sync trials"]


def test_saving_syncs_a_file_each_time_and_its_name_once_for_each_file_that_has_it(
    tmp_path: Path, steps: list[str]
) -> None:
    with FilesystemStore(tmp_path).open_workspace(KEY) as workspace:
        (workspace.folder / SCRATCH_NAME / "journals").mkdir()
        path = workspace.folder / SCRATCH_NAME / "journals" / "a"
        name = path.relative_to(workspace.folder).as_posix()
        path.write_bytes(b"1")
        workspace.save(name, is_replaceable=True)
        # The name of the folder of all trials is synced when it is created.
        assert steps == [f"sync {tmp_path.name}"]
        steps.clear()
        workspace.save(name)
        partial = f"{KEY.rpartition('/')[2]}.partial"
        assert steps == ["sync a", "sync journals", "sync scratch", f"sync {partial}", "sync trials"]
        workspace.save(name)
        assert steps[5:] == ["sync a"]
        path.with_name("new").write_bytes(b"2")
        path.with_name("new").replace(path)
        workspace.save(name)
        assert steps[6:] == ["sync a", "sync journals"]


def test_an_error_of_the_system_that_names_no_file_names_the_workspace(tmp_path: Path) -> None:
    def attempt() -> None:
        with FilesystemStore(tmp_path).open_workspace(KEY), open("/dev/full", "w") as file:
            file.write("1")

    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/{KEY}.partial'"):
        attempt()
