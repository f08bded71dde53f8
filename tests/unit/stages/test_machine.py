"""The choice of the device, with stand-ins for the GPUs that this machine does not have."""

import platform
import re

import pytest
import torch

from peerkd.config.peer_experiment import ComputeConfig
from peerkd.stages import machine
from peerkd.stages.machine import choose_device


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes this a machine with some devices."""

    def make(*, cuda: int = 0, apple: bool = False, mps: bool = False) -> None:
        monkeypatch.setattr(machine, "_count_gpus", lambda: cuda)
        monkeypatch.setattr(machine, "count_cores", lambda: 8)
        monkeypatch.setattr(platform, "system", lambda: "Darwin" if apple else "Linux")
        monkeypatch.setattr(platform, "machine", lambda: "arm64")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return make


@pytest.mark.parametrize(
    ("devices", "wanted", "expected"),
    [
        ({}, "auto", ("cpu", 8)),
        ({"cuda": 2}, "auto", ("cuda", 2)),
        ({"apple": True, "mps": True}, "auto", ("mps", 1)),
        ({"apple": True, "mps": True, "cuda": 1}, "auto", ("cuda", 1)),
        ({"apple": True}, "auto", ("cpu", 8)),
        ({"apple": True, "mps": True}, "mps", ("mps", 1)),
        ({"apple": True, "mps": True}, "cpu", ("cpu", 8)),
        ({"cuda": 2}, "cpu", ("cpu", 8)),
    ],
)
def test_auto_takes_the_first_of_cuda_mps_and_cpu(has, devices, wanted, expected) -> None:
    has(**devices)
    assert choose_device(ComputeConfig(device=wanted)) == expected
    assert choose_device(ComputeConfig(device=wanted, num_workers=3)) == (expected[0], 3)
    assert choose_device(ComputeConfig(device=wanted), is_in_process=True) == (expected[0], 0)


@pytest.mark.parametrize(
    ("devices", "wanted", "message"),
    [
        ({"apple": True, "mps": True}, "cuda", "on a machine without NVIDIA GPUs, got cuda."),
        ({"apple": True}, "mps", "on a machine whose torch has no mps "),
        # torch is not even imported, because no other machine has such a GPU.
        ({"mps": True}, "mps", "on a machine whose torch has no mps "),
    ],
)
def test_a_device_that_is_missing_is_refused(has, devices, wanted, message) -> None:
    has(**devices)
    with pytest.raises(ValueError, match=re.escape(f"compute.device must be cpu or auto {message}")):
        choose_device(ComputeConfig(device=wanted))


def test_processes_that_share_a_training_are_refused_on_an_apple_gpu(has) -> None:
    has(apple=True, mps=True)
    with pytest.raises(ValueError, match=r"^training.num_processes must be 1 on an Apple GPU \(mps\), got 2: set "):
        choose_device(ComputeConfig(), num_processes_of_training=2)
    assert choose_device(ComputeConfig(device="cpu"), num_processes_of_training=2) == ("cpu", 8)
