import json
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


def test_a_manifest_survives_a_conversion_to_json_and_back(folder: Path) -> None:
    manifest = describe_folder(folder, key="noun/1", metadata={"nested": {"list": [1, None, "é"]}})
    assert Manifest.from_json(manifest.to_json(), key="noun/1") == manifest


def test_a_folder_agrees_with_its_new_manifest(folder: Path) -> None:
    verify_folder(folder, describe_folder(folder, key="noun/1", metadata={}))


def test_a_folder_in_place_of_a_file_is_detected(folder: Path) -> None:
    manifest = describe_folder(folder, key="noun/1", metadata={})
    (folder / "a").unlink()
    (folder / "a").mkdir()
    with pytest.raises(ArtifactCorruptError, match=r"^noun/1: the file a is missing\.$"):
        verify_folder(folder, manifest)


def test_the_fingerprint_depends_only_on_names_and_contents(folder: Path) -> None:
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


@pytest.mark.parametrize(
    ("old", "new"),
    [('"cpu"', '"cuda"'), ('"num_bytes": 3', '"num_bytes": 2'), (SHA256_OF_ABC, "0" * 64), ('"b/c"', '"b/d"')],
    ids=["metadata", "a size", "a SHA-256", "a name"],
)
def test_a_manifest_that_was_changed_does_not_match_its_digest(folder: Path, old: str, new: str) -> None:
    text = describe_folder(folder, key="noun/1", metadata={"device": "cpu"}).to_json()
    assert old in text
    with pytest.raises(ArtifactCorruptError, match=r"^The manifest of noun/1 does not match its own digest: it was"):
        Manifest.from_json(text.replace(old, new), key="noun/1")


def test_no_flipped_bit_of_a_manifest_changes_what_is_read(folder: Path) -> None:
    manifest = describe_folder(folder, key="noun/1", metadata={"device": "cpu", "rates": [0.1, 1e-05], "n": 3})
    text = manifest.to_json().encode()
    num_refused = 0
    for bit in range(8 * len(text)):
        changed = bytearray(text)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            # A change of whitespace is not detected, because whitespace is not read.
            assert Manifest.from_json(bytes(changed), key="noun/1") == manifest
        except ArtifactCorruptError:
            num_refused += 1
    assert num_refused > 6 * len(text)


def test_a_manifest_without_a_digest_is_refused(folder: Path) -> None:
    values = json.loads(describe_folder(folder, key="noun/1", metadata={}).to_json())
    del values["digest"]
    with pytest.raises(ArtifactCorruptError, match=r"^The manifest of noun/1 does not match its own digest: it was"):
        Manifest.from_json(json.dumps(values), key="noun/1")


def test_a_digest_covers_metadata_of_any_kind_that_json_can_write() -> None:
    manifest = Manifest(key="k", files={}, metadata={"numbers": {10: float("nan"), 9: (1, 2)}})
    assert Manifest.from_json(manifest.to_json(), key="k").metadata["numbers"]["9"] == [1, 2]


def test_a_manifest_with_an_unknown_field_is_refused() -> None:
    values = json.loads(Manifest(key="k", files={}, metadata={}).to_json()) | {"owner": "me"}
    with pytest.raises(ArtifactCorruptError, match=r"^The manifest of k must be what this program wrote"):
        Manifest.from_json(json.dumps(values), key="k")
