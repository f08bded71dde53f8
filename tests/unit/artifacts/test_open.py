from pathlib import Path

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.open import open_store

KEY = "peers/0123456789abcdef"


def test_a_folder_is_opened_as_the_store_in_it(tmp_path: Path) -> None:
    with FilesystemStore(tmp_path).open_workspace(KEY) as workspace:
        (workspace / "a").write_bytes(b"1")
        published = FilesystemStore(tmp_path).publish(KEY, metadata={})
    assert open_store(str(tmp_path)).find(KEY) == published


@pytest.mark.parametrize("address", ["s3://bucket/runs", "file:///tmp/runs"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=rf"^store must be a folder, got {address}\.$"):
        open_store(address)


def test_an_empty_address_is_refused_and_not_taken_for_the_current_folder() -> None:
    with pytest.raises(ValueError, match=r"^store must be a folder, got an empty text\.$"):
        open_store("")
