import pickle
import signal
import subprocess
import sys

import pytest
import torch

from peerkd.errors import ArtifactCorruptError
from peerkd.training import checkpoints, seals
from peerkd.training.checkpoints import check_tensors, copy_state, load_tensors, save_tensors
from peerkd.training.seals import is_intact


def test_tensors_and_metadata_are_read_as_written(tmp_path):
    tensors = {"weight": torch.randn(3, 4).to(memory_format=torch.contiguous_format), "count": torch.tensor(7)}
    save_tensors(tmp_path / "t", tensors, {"num_epochs": "3"})
    loaded, words = load_tensors(tmp_path / "t")
    assert words == {"num_epochs": "3"}
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor)


def test_equal_tensors_and_metadata_give_equal_bytes(tmp_path):
    words = {"history": '[{"sha256":"ä"}]', "note": "x"}
    contents = set()
    for _ in range(20):
        save_tensors(tmp_path / "t", {"weight": torch.ones(3), "count": torch.tensor(7)}, words, is_sealed=True)
        contents.add((tmp_path / "t").read_bytes())
    assert len(contents) == 1
    assert is_intact(tmp_path / "t")
    loaded, read = load_tensors(tmp_path / "t")
    assert torch.equal(loaded["weight"], torch.ones(3))
    assert words.items() < read.items()


def test_two_processes_may_write_a_file_at_the_same_time(tmp_path, monkeypatch):
    path, calls = tmp_path / "t.safetensors", []

    def seal(partial):
        calls.append(partial)
        if len(calls) == 1:
            save_tensors(path, {"weight": torch.ones(2)}, is_sealed=True, partial_folder=tmp_path)
        seals.seal(partial)

    monkeypatch.setattr(checkpoints, "seal", seal)
    save_tensors(path, {"weight": torch.ones(2)}, is_sealed=True, partial_folder=tmp_path)
    assert is_intact(path)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_channels_last_weights_are_saved_by_value(tmp_path):
    weight = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    save_tensors(tmp_path / "t", {"weight": weight})
    assert torch.equal(load_tensors(tmp_path / "t")[0]["weight"], weight)


def test_a_kill_in_the_middle_of_a_write_leaves_the_earlier_file_and_no_name_that_stays(tmp_path):
    path = tmp_path / "t.safetensors"
    save_tensors(path, {"weight": torch.ones(2)})
    write_and_die = """
import resource, signal, sys, torch
from pathlib import Path
from peerkd.training.checkpoints import save_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
save_tensors(Path(sys.argv[1]), {"weight": torch.zeros(10_000)})
"""
    killed = subprocess.run([sys.executable, "-c", write_and_die, str(path)], check=False)
    assert killed.returncode == -signal.SIGXFSZ
    assert torch.equal(load_tensors(path)[0]["weight"], torch.ones(2))
    # The next attempt writes to the same name, so the artifact has no other file.
    save_tensors(path, {"weight": torch.zeros(2)})
    assert [each.name for each in tmp_path.iterdir()] == ["t.safetensors"]


@pytest.mark.parametrize("content", [b"", b"short", pickle.dumps({"weight": [1.0]})])
def test_a_damaged_file_is_refused_and_a_pickle_is_one(tmp_path, content):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(ArtifactCorruptError, match="is damaged"):
        load_tensors(tmp_path / "t")


def test_copying_a_state_keeps_the_tensors_of_the_network():
    source, target = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    source(torch.randn(5, 3))
    addresses = [tensor.data_ptr() for tensor in target.state_dict().values()]
    copy_state(source.state_dict(), target)
    assert [tensor.data_ptr() for tensor in target.state_dict().values()] == addresses
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor)


def read(**changes):
    """Return a small network's tensors as in a file, some of them replaced; None omits one."""
    tensors = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "count": torch.tensor(0)} | changes
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bias": None}, "peer.safetensors lacks the tensor bias."),
        ({"bias": None, "weight": None}, "peer.safetensors lacks the tensor bias and 1 more."),
        ({"scale": torch.ones(1)}, "peer.safetensors must not have the tensor scale."),
        # Without the check, either would be broadcast silently.
        (
            {"weight": torch.zeros(1, 3)},
            "The tensor weight of peer.safetensors must be float32 of shape (2, 3), got float32 of shape (1, 3).",
        ),
        (
            {"bias": torch.tensor(1.0)},
            "The tensor bias of peer.safetensors must be float32 of shape (2,), got float32 of shape ().",
        ),
        (
            {"bias": torch.zeros(2, dtype=torch.float64)},
            "The tensor bias of peer.safetensors must be float32 of shape (2,), got float64 of shape (2,).",
        ),
        (
            {"weight": torch.full((2, 3), torch.nan)},
            "The tensor weight of peer.safetensors must be finite, got NaN or infinite numbers.",
        ),
        (
            {"bias": torch.tensor([0.0, torch.inf])},
            "The tensor bias of peer.safetensors must be finite, got NaN or infinite numbers.",
        ),
    ],
)
def test_other_tensors_and_numbers_that_are_not_finite_are_refused_by_name(changes, sentence):
    check_tensors(read(), read(), source="peer.safetensors")
    with pytest.raises(ArtifactCorruptError) as caught:
        check_tensors(read(**changes), read(), source="peer.safetensors")
    assert str(caught.value) == sentence
