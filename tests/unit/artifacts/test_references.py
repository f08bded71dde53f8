import json
from pathlib import Path

import pytest

from peerkd.artifacts import references
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import Manifest
from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError

KEY = "peers/0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path / "store")


@pytest.fixture
def manifest(store: FilesystemStore) -> Manifest:
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "a").write_bytes(b"1")
        return store.publish(KEY, metadata={"num": 3})


def test_a_reference_contains_key_and_fingerprint(manifest: Manifest) -> None:
    assert references.reference(manifest) == {"key": KEY, "fingerprint": manifest.fingerprint}


def test_a_written_reference_leads_back_to_the_artifact(
    tmp_path: Path, store: FilesystemStore, manifest: Manifest
) -> None:
    path = str(tmp_path / "outputs" / "task" / "peers")
    references.write(path, manifest)
    assert references.follow_file(path, store) == [manifest]


def test_a_reference_in_metadata_leads_back_to_the_artifact(store: FilesystemStore, manifest: Manifest) -> None:
    assert references.follow(references.reference(manifest), store) == manifest


def test_a_reference_to_values_survives_other_times_in_the_files(store: FilesystemStore) -> None:
    made = []
    for key, seconds, values in (("trials/a", "1", "ab"), ("trials/b", "2", "ab"), ("trials/c", "1", "cd")):
        with store.open_workspace(key) as workspace:
            (workspace.folder / "table").write_text(f"{values} {seconds}")
            made.append(store.publish(key, metadata={"fingerprint": values * 32}))
    first, slower, other = made
    reference = references.reference_to_values(first)
    assert reference == {"key": "trials/a", "fingerprint": "ab" * 32}
    assert references.follow(reference, store) == first
    assert references.follow({**reference, "key": slower.key}, store) == slower
    with pytest.raises(ArtifactCorruptError):
        references.follow({**reference, "key": other.key}, store)


def test_a_reference_to_a_deleted_artifact_is_reported(tmp_path: Path, manifest: Manifest) -> None:
    emptied = FilesystemStore(tmp_path / "elsewhere")
    with pytest.raises(ArtifactNotFoundError) as caught:
        references.follow(references.reference(manifest), emptied)
    assert str(caught.value) == (
        f"The store no longer has {KEY}: a cached pipeline step refers to an artifact that has been deleted; run "
        "again without the cache (peerkd submit --no-cache, or enable_caching=False in KFP's client; peerkd run has no "
        "cache)."
    )


def test_another_artifact_under_the_same_key_is_detected(store: FilesystemStore, manifest: Manifest) -> None:
    reference = {"key": KEY, "fingerprint": "f" * 64}
    with pytest.raises(ArtifactCorruptError) as caught:
        references.follow(reference, store)
    assert str(caught.value) == (f"{KEY} must have the fingerprint ffffffffffffffff, got {manifest.fingerprint[:16]}.")


@pytest.mark.parametrize(
    "content",
    [b"", b"not json", b"[]", b"3", b"{}", b'{"key": "peers/1"}', b'{"fingerprint": "1"}', b"\xff\xfe"],
)
def test_a_file_without_a_reference_is_detected(tmp_path: Path, store: FilesystemStore, content: bytes) -> None:
    path = tmp_path / "peers"
    path.write_bytes(content)
    with pytest.raises(ArtifactCorruptError, match=rf"^{path} must contain a reference to an artifact\.$"):
        references.follow_file(str(path), store)


def test_a_file_has_as_many_references_as_there_are_studies(
    tmp_path: Path, store: FilesystemStore, manifest: Manifest
) -> None:
    with store.open_workspace("peers/b"):
        other = store.publish("peers/b", metadata={})
    path = str(tmp_path / "peers")
    references.write(path, manifest, other)
    assert references.follow_file(path, store, num=2) == [manifest, other]
    with pytest.raises(ArtifactCorruptError, match=r"must contain references to 3 artifacts, got 2\.$"):
        references.follow_file(path, store, num=3)


def test_a_missing_reference_file_is_detected(tmp_path: Path, store: FilesystemStore) -> None:
    with pytest.raises(ArtifactCorruptError, match=r"/peers must contain a reference to an artifact\.$"):
        references.follow_file(str(tmp_path / "peers"), store)


def test_a_reference_is_small_and_plain(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "peers"
    references.write(str(path), manifest)
    assert json.loads(path.read_text()) == references.reference(manifest)
    assert path.stat().st_size < 200
