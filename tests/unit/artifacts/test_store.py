"""What every store promises: ``store`` and ``backend`` come once for each backend of conftest.py."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from peerkd.artifacts.store import MANIFEST_NAME, SCRATCH_NAME, ArtifactStore, Manifest
from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError, WorkspaceBusyError

KEY = "peers/0123456789abcdef"
OTHER_KEY = "peers/fedcba9876543210"
FILES = {"weights.bin": bytes(range(256)), "logs/a.txt": b"hello", "logs/empty": b""}


def publish(store: ArtifactStore, *, key: str = KEY, files: Mapping[str, bytes] = FILES) -> Manifest:
    with store.open_workspace(key) as workspace:
        for name, content in files.items():
            (workspace / name).parent.mkdir(parents=True, exist_ok=True)
            (workspace / name).write_bytes(content)
        return store.publish(key, metadata={"made by": "test"})


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST_NAME
    }


class CutOffError(Exception):
    """Ends an attempt halfway."""


def test_an_artifact_that_is_not_there_is_not_found(store: ArtifactStore) -> None:
    assert store.find(KEY) is None
    with pytest.raises(ArtifactNotFoundError, match=rf"has no artifact {KEY}\.$"):
        store.fetch(KEY)


def test_what_is_published_is_found_and_fetched_by_another_process_too(backend, store: ArtifactStore) -> None:
    manifest = publish(store)
    assert manifest.key == KEY
    assert manifest.files.keys() == FILES.keys()
    for reader in (store, backend.open()):
        assert reader.find(KEY) == manifest
        assert contents(reader.fetch(KEY)) == FILES


def test_nothing_is_seen_of_an_artifact_in_the_making(store: ArtifactStore) -> None:
    with store.open_workspace(KEY) as workspace:
        (workspace / "weights.bin").write_bytes(b"half")
        assert store.find(KEY) is None
        with pytest.raises(ArtifactNotFoundError):
            store.fetch(KEY)


def test_an_artifact_without_a_manifest_does_not_exist(backend, store: ArtifactStore) -> None:
    publish(store)
    backend.delete(KEY, MANIFEST_NAME)
    assert store.find(KEY) is None
    with pytest.raises(ArtifactNotFoundError):
        store.fetch(KEY)


def test_what_an_aborted_attempt_left_is_found_again(backend, store: ArtifactStore) -> None:
    def attempt() -> None:
        with store.open_workspace(KEY) as workspace:
            (workspace / "weights.bin").write_bytes(b"half")
            (workspace / SCRATCH_NAME / "journal").write_bytes(b"3 of 9")
            raise CutOffError

    with pytest.raises(CutOffError):
        attempt()
    assert store.find(KEY) is None
    with backend.open().open_workspace(KEY) as workspace:
        assert contents(workspace) == {"weights.bin": b"half", f"{SCRATCH_NAME}/journal": b"3 of 9"}


def test_scratch_is_there_from_the_start_and_no_part_of_the_artifact(backend, store: ArtifactStore) -> None:
    with store.open_workspace(KEY) as workspace:
        assert (workspace / SCRATCH_NAME).is_dir()
    manifest = publish(store, files={"a": b"1", f"{SCRATCH_NAME}/checkpoints/b": b"2"})
    assert manifest.files.keys() == {"a"}
    assert backend.names(KEY) == {"a", MANIFEST_NAME}


def test_only_the_folder_scratch_and_the_manifest_itself_are_left_out(store: ArtifactStore) -> None:
    files = {"scratchpad": b"1", f"a/{SCRATCH_NAME}/b": b"2", f"a/{MANIFEST_NAME}": b"3"}
    assert publish(store, files=files).files.keys() == files.keys()


@pytest.mark.parametrize("position", [0, 100, 255])
def test_a_flipped_bit_is_noticed(backend, store: ArtifactStore, position: int) -> None:
    publish(store)
    content = bytearray(backend.read(KEY, "weights.bin"))
    content[position] ^= 1
    backend.write(KEY, "weights.bin", bytes(content))
    with pytest.raises(ArtifactCorruptError) as caught:
        store.fetch(KEY)
    assert str(caught.value) == f"{KEY}: the content of weights.bin is not what its manifest says."


@pytest.mark.parametrize("content", [b"", b"hell", b"hello!"])
def test_a_file_of_another_length_is_noticed(backend, store: ArtifactStore, content: bytes) -> None:
    publish(store)
    backend.write(KEY, "logs/a.txt", content)
    with pytest.raises(ArtifactCorruptError) as caught:
        store.fetch(KEY)
    assert str(caught.value) == f"{KEY}: the file logs/a.txt must have 5 bytes, got {len(content)}."


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_noticed(backend, store: ArtifactStore, name: str) -> None:
    publish(store)
    backend.delete(KEY, name)
    with pytest.raises(ArtifactCorruptError, match=rf"^{KEY}: the file {name} is missing\.$"):
        store.fetch(KEY)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"files": 3}', b"\xff\xfe\xff"])
def test_a_manifest_that_is_none_is_noticed(backend, store: ArtifactStore, content: bytes) -> None:
    publish(store)
    backend.write(KEY, MANIFEST_NAME, content)
    message = f"The manifest of {KEY} must be what this program wrote, got {content!r}."
    for ask in (store.find, store.fetch):
        with pytest.raises(ArtifactCorruptError, match=f"^{re.escape(message)}$"):
            ask(KEY)


def test_a_manifest_of_another_artifact_is_noticed(backend, store: ArtifactStore) -> None:
    publish(store)
    publish(store, key=OTHER_KEY, files={"weights.bin": b"others"})
    backend.write(KEY, MANIFEST_NAME, backend.read(OTHER_KEY, MANIFEST_NAME))
    for ask in (store.find, store.fetch):
        with pytest.raises(ArtifactCorruptError, match=f"^The manifest of {KEY} must have its key, got {OTHER_KEY}"):
            ask(KEY)


def test_a_workspace_is_lent_to_one_at_a_time(backend, store: ArtifactStore) -> None:
    with store.open_workspace(KEY):
        with pytest.raises(WorkspaceBusyError, match=rf"^Another process is at work on {KEY} in .+; wait for it or"):
            backend.open().open_workspace(KEY).__enter__()
        with backend.open().open_workspace(OTHER_KEY):
            pass
    with backend.open().open_workspace(KEY):
        pass


def test_who_waited_for_the_workspace_gets_what_the_other_published(backend, store: ArtifactStore) -> None:
    first = publish(store)
    late = publish(backend.open(), files={"weights.bin": b"the same, made again"})
    assert late == first
    assert contents(store.fetch(KEY)) == FILES
    with store.open_workspace(KEY) as workspace:
        assert contents(workspace) == {}


def test_what_an_interrupted_deletion_left_is_no_obstacle(backend, store: ArtifactStore) -> None:
    publish(store)
    backend.delete(KEY, MANIFEST_NAME)
    publish(store, files={"a": b"1"})
    assert backend.names(KEY) == {"a", MANIFEST_NAME}
    assert contents(store.fetch(KEY)) == {"a": b"1"}
