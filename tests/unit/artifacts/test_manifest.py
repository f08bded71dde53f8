from pathlib import Path

import pytest

from peerkd.artifacts.store import FileEntry, Manifest, describe_folder, file_sha256, verify_folder
from peerkd.errors import ArtifactCorruptError

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""FIPS 180-2, appendix B.1."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"abc")
    (tmp_path / "a").write_bytes(b"")
    return tmp_path


def test_a_manifest_has_size_and_sha256_of_every_file(folder: Path) -> None:
    manifest = describe_folder(folder, key="noun/1", metadata={"n": 3})
    assert list(manifest.files) == ["a", "b/c"]
    assert manifest.files["b/c"] == FileEntry(num_bytes=3, sha256=SHA256_OF_ABC)
    assert file_sha256(folder / "b" / "c") == SHA256_OF_ABC
    assert (manifest.key, manifest.metadata) == ("noun/1", {"n": 3})


def test_a_manifest_survives_the_way_through_json(folder: Path) -> None:
    manifest = describe_folder(folder, key="noun/1", metadata={"nested": {"list": [1, None, "é"]}})
    assert Manifest.from_json(manifest.to_json(), key="noun/1") == manifest


def test_a_folder_just_described_is_as_its_manifest_says(folder: Path) -> None:
    verify_folder(folder, describe_folder(folder, key="noun/1", metadata={}))


def test_a_folder_in_place_of_a_file_is_noticed(folder: Path) -> None:
    manifest = describe_folder(folder, key="noun/1", metadata={})
    (folder / "a").unlink()
    (folder / "a").mkdir()
    with pytest.raises(ArtifactCorruptError, match=r"^noun/1: the file a is missing\.$"):
        verify_folder(folder, manifest)


def test_the_fingerprint_is_of_names_and_contents_alone(folder: Path) -> None:
    before = describe_folder(folder, key="noun/1", metadata={}).fingerprint
    assert describe_folder(folder, key="noun/2", metadata={"more": 1}).fingerprint == before
    (folder / "b" / "c").write_bytes(b"abd")
    changed = describe_folder(folder, key="noun/1", metadata={}).fingerprint
    (folder / "b" / "c").write_bytes(b"abc")
    (folder / "b" / "c").rename(folder / "b" / "d")
    renamed = describe_folder(folder, key="noun/1", metadata={}).fingerprint
    assert len({before, changed, renamed}) == 3


def test_the_fingerprint_ignores_the_order_of_the_files() -> None:
    files = {"a": FileEntry(num_bytes=1, sha256="1"), "b": FileEntry(num_bytes=1, sha256="2")}
    backwards = dict(reversed(files.items()))
    assert (
        Manifest(key="k", files=files, metadata={}).fingerprint
        == Manifest(key="k", files=backwards, metadata={}).fingerprint
    )


@pytest.mark.parametrize("entry", ["{}", '{"num_bytes": 1}', '{"num_bytes": 1, "sha256": "", "owner": ""}', "3"])
def test_an_entry_with_other_fields_is_refused(entry: str) -> None:
    with pytest.raises(ArtifactCorruptError, match=r"^The manifest of k must be what this program wrote, got '"):
        Manifest.from_json(f'{{"key": "k", "metadata": {{}}, "files": {{"a": {entry}}}}}', key="k")
