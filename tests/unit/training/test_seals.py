import pytest
import torch

from peerkd.training.checkpoints import load_tensors, save_tensors
from peerkd.training.seals import is_intact, seal


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "state.safetensors"
    save_tensors(path, {"weight": torch.arange(6.0).reshape(2, 3)}, {"progress": "3"}, is_sealed=True)
    return path


def test_a_sealed_file_is_intact_and_is_read_like_any_other(path):
    assert is_intact(path)
    tensors, words = load_tensors(path)
    assert torch.equal(tensors["weight"], torch.arange(6.0).reshape(2, 3))
    assert words["progress"] == "3"


def test_no_byte_with_a_flipped_bit_passes(path):
    content = path.read_bytes()
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        assert not is_intact(path), f"byte {position}"


def test_a_file_that_was_cut_or_extended_is_not_intact(path):
    content = path.read_bytes()
    for num_bytes in range(len(content)):
        path.write_bytes(content[:num_bytes])
        assert not is_intact(path), f"{num_bytes} bytes"
    path.write_bytes(content + b"\0")
    assert not is_intact(path)
    path.unlink()
    assert not is_intact(path)


def test_a_file_without_space_for_a_digest_is_neither_sealed_nor_intact(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_tensors(path, {"weight": torch.ones(2)})
    assert not is_intact(path)
    with pytest.raises(ValueError, match="must have a place for its digest"):
        seal(path)
