"""The promises of every store. Each test runs with ``store`` and ``backend`` for each backend of conftest.py."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import MANIFEST_NAME, SCRATCH_NAME, ArtifactStore, Manifest, Workspace
from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError, WorkspaceBusyError

KEY = "peers/0123456789abcdef"
OTHER_KEY = "peers/fedcba9876543210"
FILES = {"weights.bin": bytes(range(256)), "logs/a.txt": b"hello", "logs/empty": b""}


def publish(store: ArtifactStore, *, key: str = KEY, files: Mapping[str, bytes] = FILES) -> Manifest:
    with store.open_workspace(key) as workspace:
        write(workspace, files)
        return store.publish(key, metadata={"made by": "test"})


def write(workspace: Workspace, files: Mapping[str, bytes], *, save: bool = False) -> None:
    for name, content in files.items():
        (workspace.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace.folder / name).write_bytes(content)
    if save:
        workspace.save(*files)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST_NAME
    }


def remedy(backend) -> str:
    return (
        f"Move it out of the way with 'peerkd store set-aside --store {backend.address} {KEY}', which deletes nothing, "
        "and run again."
    )


class CutOffError(Exception):
    """The interruption of an attempt."""


def test_a_missing_artifact_is_not_found(store: ArtifactStore) -> None:
    assert store.find(KEY) is None
    with pytest.raises(ArtifactNotFoundError, match=rf"has no artifact {KEY}\.$"):
        store.fetch(KEY)


def test_a_published_artifact_can_be_found_and_fetched_by_another_process(backend, store: ArtifactStore) -> None:
    manifest = publish(store)
    assert manifest.key == KEY
    assert manifest.files.keys() == FILES.keys()
    for reader in (store, backend.open()):
        assert reader.find(KEY) == manifest
        assert contents(reader.fetch(KEY)) == FILES


def test_an_unfinished_artifact_is_not_visible(store: ArtifactStore) -> None:
    with store.open_workspace(KEY) as workspace:
        write(workspace, {"weights.bin": b"half"}, save=True)
        assert store.find(KEY) is None
        with pytest.raises(ArtifactNotFoundError):
            store.fetch(KEY)


def test_an_artifact_without_a_manifest_does_not_exist(backend, store: ArtifactStore) -> None:
    publish(store)
    backend.delete(KEY, MANIFEST_NAME)
    assert store.find(KEY) is None
    with pytest.raises(ArtifactNotFoundError):
        store.fetch(KEY)


def test_files_saved_by_an_aborted_attempt_are_loaded_again(backend, store: ArtifactStore) -> None:
    saved = {"weights.bin": b"half", f"{SCRATCH_NAME}/journal": b"3 of 9"}

    def attempt() -> None:
        with store.open_workspace(KEY) as workspace:
            write(workspace, saved, save=True)
            raise CutOffError

    with pytest.raises(CutOffError):
        attempt()
    assert store.find(KEY) is None
    with backend.open().open_workspace(KEY) as workspace:
        assert workspace.saved("").keys() == saved.keys()
        assert [workspace.load(name) for name in saved] == [True, True]
        assert contents(workspace.folder) == saved


def test_saved_files_are_read_while_another_process_works(backend, store: ArtifactStore) -> None:
    def names(place: ArtifactStore) -> dict[str, bytes]:
        with place.read_workspace("peers/a", is_chosen=lambda name: name.endswith(".jsonl")) as paths:
            return {name: path.read_bytes() for name, path in paths.items()}

    assert names(backend.open()) == {}
    with store.open_workspace("peers/a") as workspace:
        for name in ("scratch/a.jsonl", "scratch/b.txt", "c.jsonl"):
            (workspace.folder / name).write_text(name)
            workspace.save(name)
        assert names(backend.open()) == {"scratch/a.jsonl": b"scratch/a.jsonl"}


def test_a_discarded_file_disappears_here_and_for_others(backend, store: ArtifactStore) -> None:
    with store.open_workspace(KEY) as workspace:
        write(workspace, {f"{SCRATCH_NAME}/{name}": b"1" for name in "ab"}, save=True)
        workspace.discard(f"{SCRATCH_NAME}/a", f"{SCRATCH_NAME}/never")
        assert contents(workspace.folder).keys() == {f"{SCRATCH_NAME}/b"}
    with backend.open().open_workspace(KEY) as workspace:
        assert workspace.saved("").keys() == {f"{SCRATCH_NAME}/b"}
        assert not workspace.load(f"{SCRATCH_NAME}/a")


def test_scratch_exists_from_the_start_and_is_not_part_of_the_artifact(backend, store: ArtifactStore) -> None:
    with store.open_workspace(KEY) as workspace:
        assert (workspace.folder / SCRATCH_NAME).is_dir()
    manifest = publish(store, files={"a": b"1", f"{SCRATCH_NAME}/checkpoints/b": b"2"})
    assert manifest.files.keys() == {"a"}
    assert backend.names(KEY) == {"a", MANIFEST_NAME}


def test_only_the_scratch_folder_and_the_manifest_are_omitted(store: ArtifactStore) -> None:
    files = {"scratchpad": b"1", f"a/{SCRATCH_NAME}/b": b"2", f"a/{MANIFEST_NAME}": b"3"}
    assert publish(store, files=files).files.keys() == files.keys()


@pytest.mark.parametrize("position", [0, 100, 255])
def test_a_flipped_bit_is_detected(backend, store: ArtifactStore, position: int) -> None:
    publish(store)
    content = bytearray(backend.read(KEY, "weights.bin"))
    content[position] ^= 1
    backend.write(KEY, "weights.bin", bytes(content))
    with pytest.raises(ArtifactCorruptError) as caught:
        store.fetch(KEY)
    assert str(caught.value) == f"{KEY}: the content of weights.bin is not what its manifest says. {remedy(backend)}"


@pytest.mark.parametrize("content", [b"", b"hell", b"hello!"])
def test_a_file_of_another_length_is_detected(backend, store: ArtifactStore, content: bytes) -> None:
    publish(store)
    backend.write(KEY, "logs/a.txt", content)
    with pytest.raises(ArtifactCorruptError) as caught:
        store.fetch(KEY)
    assert str(caught.value) == (f"{KEY}: the file logs/a.txt must have 5 bytes, got {len(content)}. {remedy(backend)}")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_detected(backend, store: ArtifactStore, name: str) -> None:
    publish(store)
    backend.delete(KEY, name)
    with pytest.raises(ArtifactCorruptError, match=rf"^{KEY}: the file {name} is missing\. Move"):
        store.fetch(KEY)


@pytest.mark.parametrize("content", [b"", b'{"key": "peers/01', b"\xff\xfe\xff"])
def test_an_artifact_with_a_truncated_manifest_is_not_fetched(backend, store: ArtifactStore, content) -> None:
    publish(store)
    backend.write(KEY, MANIFEST_NAME, content)
    message = f"The manifest of {KEY} must be what this program wrote, got {content!r}. {remedy(backend)}"
    with pytest.raises(ArtifactCorruptError, match=f"^{re.escape(message)}$"):
        store.fetch(KEY)


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"files": 3}'])
def test_a_file_that_is_not_a_manifest_is_detected(backend, store: ArtifactStore, content: bytes) -> None:
    publish(store)
    backend.write(KEY, MANIFEST_NAME, content)
    message = f"The manifest of {KEY} must be what this program wrote, got {content!r}. {remedy(backend)}"
    for ask in (store.find, store.fetch):
        with pytest.raises(ArtifactCorruptError, match=f"^{re.escape(message)}$"):
            ask(KEY)


def test_a_manifest_of_another_artifact_is_detected(backend, store: ArtifactStore) -> None:
    publish(store)
    publish(store, key=OTHER_KEY, files={"weights.bin": b"others"})
    backend.write(KEY, MANIFEST_NAME, backend.read(OTHER_KEY, MANIFEST_NAME))
    for ask in (store.find, store.fetch):
        with pytest.raises(ArtifactCorruptError, match=f"^The manifest of {KEY} must have its key, got {OTHER_KEY}"):
            ask(KEY)


def test_a_worker_that_waited_for_the_workspace_gets_the_published_artifact(backend, store: ArtifactStore) -> None:
    first = publish(store)
    late = publish(backend.open(), files={"weights.bin": b"the same, made again"})
    assert late == first
    assert store.find(KEY) == first
    assert contents(store.fetch(KEY)) == FILES
    with store.open_workspace(KEY) as workspace:
        assert contents(workspace.folder) == {}
        assert workspace.saved("") == {}


def test_a_changed_manifest_is_detected(backend, store: ArtifactStore) -> None:
    publish(store)
    backend.write(KEY, MANIFEST_NAME, backend.read(KEY, MANIFEST_NAME).replace(b"test", b"rest"))
    message = f"The manifest of {KEY} does not match its own digest: it was changed. {remedy(backend)}"
    for ask in (store.find, store.fetch, store.verify):
        with pytest.raises(ArtifactCorruptError, match=f"^{re.escape(message)}$"):
            ask(KEY)


def test_a_manifest_that_does_not_match_its_digest_deletes_nothing(backend, store: ArtifactStore) -> None:
    publish(store)
    other_files = backend.names(KEY)
    backend.write(KEY, MANIFEST_NAME, backend.read(KEY, MANIFEST_NAME).replace(b"test", b"rest"))
    with backend.open().open_workspace(KEY, shared=True) as workspace:
        write(workspace, {"weights.bin": b"made again", f"{SCRATCH_NAME}/journal": b"1 of 1"}, save=True)
    with store.open_workspace(KEY) as workspace, pytest.raises(ArtifactCorruptError):
        store.publish(KEY, metadata={})
    with suppress(ArtifactCorruptError):
        store.clear_away(KEY)
    assert backend.names(KEY) == other_files
    assert {"weights.bin", f"{SCRATCH_NAME}/journal"} <= backend.names(f"{KEY}.partial")


def test_an_artifact_that_is_set_aside_is_made_again_and_its_files_are_kept(backend, store: ArtifactStore) -> None:
    for number in (1, 2):
        publish(store)
        backend.write(KEY, "weights.bin", b"damaged")
        assert store.set_aside(KEY) == f"{KEY}.damaged-{number}"
        assert store.find(KEY) is None
        assert backend.names(f"{KEY}.damaged-{number}") >= {"weights.bin", "logs/a.txt", MANIFEST_NAME}
        assert backend.read(f"{KEY}.damaged-{number}", "weights.bin") == b"damaged"
    publish(store)
    assert contents(store.fetch(KEY)) == FILES
    assert store.keys() == [KEY]


def test_a_workspace_is_set_aside_too_unless_it_is_in_use(backend, store: ArtifactStore) -> None:
    with store.open_workspace(KEY) as workspace:
        write(workspace, {f"{SCRATCH_NAME}/journal": b"damaged"}, save=True)
        if isinstance(store, FilesystemStore):
            with pytest.raises(WorkspaceBusyError):
                backend.open().set_aside(f"{KEY}.partial")
    assert store.set_aside(f"{KEY}.partial") == f"{KEY}.partial.damaged-1"
    assert backend.read(f"{KEY}.partial.damaged-1", f"{SCRATCH_NAME}/journal") == b"damaged"
    with store.open_workspace(KEY) as workspace:
        assert workspace.saved("") == {}


def test_setting_aside_an_unknown_key_is_an_error(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactNotFoundError, match=rf"has no artifact {KEY}\.$"):
        store.set_aside(KEY)


def test_keys_lists_published_artifacts_only(store: ArtifactStore) -> None:
    assert store.keys() == []
    publish(store, key=OTHER_KEY, files={f"a/{MANIFEST_NAME}": b"1"})
    publish(store)
    with store.open_workspace("peers/unfinished") as workspace:
        write(workspace, {MANIFEST_NAME: b"{}"}, save=True)
    assert store.keys() == [KEY, OTHER_KEY]


def test_an_artifact_is_verified_in_the_store_and_not_in_a_cache(backend, store: ArtifactStore) -> None:
    manifest = publish(store)
    store.fetch(KEY)
    assert store.verify(KEY) == manifest
    backend.write(KEY, "logs/a.txt", b"jello")
    with pytest.raises(
        ArtifactCorruptError, match=rf"^{KEY}: the content of logs/a\.txt is not what its manifest says"
    ):
        store.verify(KEY)


def test_files_of_a_killed_worker_are_deleted_after_another_has_published(backend, store: ArtifactStore) -> None:
    publish(store)
    with store.open_workspace(KEY) as workspace:
        write(workspace, {f"{SCRATCH_NAME}/claims/{number}": b"" for number in range(3)}, save=True)
    with store.open_workspace("peers/unfinished") as workspace:
        write(workspace, {f"{SCRATCH_NAME}/journal": b"1 of 3"}, save=True)
    assert [store.clear_away(KEY), store.clear_away(KEY), store.clear_away("peers/unfinished")] == [3, 0, 0]
    assert backend.names(f"{KEY}.partial") == set()
    assert f"{SCRATCH_NAME}/journal" in backend.names("peers/unfinished.partial")
    assert contents(store.fetch(KEY)) == FILES


def test_leftovers_of_an_interrupted_deletion_do_no_harm(backend, store: ArtifactStore) -> None:
    publish(store)
    backend.delete(KEY, MANIFEST_NAME)
    publish(store, files={"a": b"1"})
    assert backend.names(KEY) == {"a", MANIFEST_NAME}
    assert contents(store.fetch(KEY)) == {"a": b"1"}


def test_a_workspace_lists_saved_files_by_name_and_version(store: ArtifactStore) -> None:
    with store.open_workspace(KEY) as workspace:
        write(workspace, {f"{SCRATCH_NAME}/claims/a": b"1", f"{SCRATCH_NAME}/claims/b": b"1", "c": b"1"}, save=True)
        before = workspace.saved(f"{SCRATCH_NAME}/claims/")
        assert before.keys() == {f"{SCRATCH_NAME}/claims/a", f"{SCRATCH_NAME}/claims/b"}
        write(workspace, {f"{SCRATCH_NAME}/claims/a": b"22"}, save=True)
        after = workspace.saved(f"{SCRATCH_NAME}/claims/")
        assert {name for name in before if before[name] != after[name]} == {f"{SCRATCH_NAME}/claims/a"}
        assert workspace.saved(f"{SCRATCH_NAME}/cl").keys() == before.keys()
        assert workspace.saved("elsewhere/") == {}
        assert workspace.load("d") is False


def test_a_worker_that_shares_a_workspace_loads_the_latest_files_of_others(backend, store: ArtifactStore) -> None:
    with store.open_workspace(KEY, shared=True) as one, backend.open().open_workspace(KEY, shared=True) as other:
        for content in (b"first", b"second"):
            write(one, {"a/b": content}, save=True)
            assert other.load("a/b")
            assert (other.folder / "a/b").read_bytes() == content
        assert contents(other.folder) == {"a/b": b"second"}


def test_a_published_artifact_includes_files_of_other_and_earlier_workers(backend, store: ArtifactStore) -> None:
    with store.open_workspace(KEY, shared=True) as workspace:
        write(workspace, {"earlier": b"0"}, save=True)
    with store.open_workspace(KEY, shared=True) as one:
        write(one, {"mine": b"1", "both": b"2"}, save=True)
        publisher = backend.open()
        with publisher.open_workspace(KEY, shared=True) as other:
            write(other, {"theirs": b"3", "both": b"2", f"{SCRATCH_NAME}/journal": b"4"}, save=True)
            manifest = publisher.publish(KEY, metadata={})
    expected = {"earlier": b"0", "mine": b"1", "both": b"2", "theirs": b"3"}
    assert manifest.files.keys() == expected.keys()
    assert contents(store.fetch(KEY)) == expected


def test_a_worker_can_continue_after_another_has_published_and_leaves_no_files(backend, store: ArtifactStore) -> None:
    with store.open_workspace(KEY, shared=True) as one:
        write(one, {f"{SCRATCH_NAME}/claim": b"1"}, save=True)
        publisher = backend.open()
        with publisher.open_workspace(KEY, shared=True) as other:
            write(other, {"a": b"1"}, save=True)
            first = publisher.publish(KEY, metadata={})
        write(one, {f"{SCRATCH_NAME}/claim": b"2", "a": b"other"}, save=True)
        assert store.publish(KEY, metadata={}) == first
        write(one, {f"{SCRATCH_NAME}/claim": b"3", "a": b"late"}, save=True)
    assert contents(store.fetch(KEY)) == {"a": b"1"}
    assert backend.names(KEY) == {"a", MANIFEST_NAME}
    assert backend.names(f"{KEY}.partial") == set()
    assert backend.names(f"{KEY}.publishing") == set()


def test_a_missing_file_cannot_be_saved(store: ArtifactStore) -> None:
    with store.open_workspace(KEY) as workspace, pytest.raises(FileNotFoundError):
        workspace.save("a")


def test_an_artifact_may_have_no_files(backend, store: ArtifactStore) -> None:
    manifest = publish(store, files={})
    assert backend.open().find(KEY) == manifest
    assert contents(store.fetch(KEY)) == {}


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "a/../b", "a//b", "./a", "a/", "a\\b", "a\0"])
def test_a_name_outside_the_workspace_is_refused(store: ArtifactStore, name: str) -> None:
    message = f"a name in a store must be relative, of parts like 'peers/0a1b', got {name!r}."
    with store.open_workspace(KEY) as workspace:
        asked = (
            store.find,
            store.fetch,
            workspace.load,
            workspace.save,
            lambda key: store.open_workspace(key).__enter__(),
        )
        for ask in asked:
            with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
                ask(name)


@pytest.mark.parametrize("name", ["../a", "/tmp/a"])
def test_a_manifest_with_a_name_outside_the_artifact_is_detected(backend, store: ArtifactStore, name: str) -> None:
    publish(store, files={"a": b"1"})
    text = backend.read(KEY, MANIFEST_NAME).replace(b'"a"', f'"{name}"'.encode())
    backend.write(KEY, MANIFEST_NAME, text)
    with pytest.raises(ArtifactCorruptError, match=f"^The manifest of {KEY} must be what this program wrote"):
        store.fetch(KEY)
