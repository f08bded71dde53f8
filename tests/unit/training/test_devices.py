"""The device of a process, with a stand-in for the GPUs of a machine."""

import os

import pytest
import torch

from peerkd.training.devices import autocast, generator_states, process_device, restore_generators, seeded


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return the calls of torch.cuda on a machine with two GPUs, each with the number of connections at that time."""
    calls: list[object] = []

    def connections() -> str | None:
        return os.environ.get("CUDA_DEVICE_MAX_CONNECTIONS")

    def device_count() -> int:
        calls.append(("count", connections()))
        return 2

    # Set before the deletion, so that the end of the test restores what the call sets.
    monkeypatch.setenv("CUDA_DEVICE_MAX_CONNECTIONS", "")
    monkeypatch.delenv("CUDA_DEVICE_MAX_CONNECTIONS")
    monkeypatch.setattr(torch.cuda, "device_count", device_count)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: calls.append((device, connections())))
    return calls


@pytest.mark.parametrize(("process_index", "gpu"), [(0, 0), (1, 1), (2, 0)])
def test_a_process_makes_its_gpu_the_current_one(process_index: int, gpu: int, log: list[object]) -> None:
    assert process_device("cuda", process_index=process_index) == torch.device("cuda", gpu)
    # A connection for every stream is requested before anything may start CUDA.
    assert log == [("count", "32"), (torch.device("cuda", gpu), "32")]


def test_a_number_of_connections_that_the_user_has_set_is_kept(
    log: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_DEVICE_MAX_CONNECTIONS", "8")
    process_device("cuda", process_index=1)
    assert log[-1] == (torch.device("cuda", 1), "8")


def test_a_process_on_the_cpu_touches_no_gpu(log: list[object]) -> None:
    assert process_device("cpu", process_index=1) == torch.device("cpu")
    assert log == []
    assert "CUDA_DEVICE_MAX_CONNECTIONS" not in os.environ


def test_an_apple_computer_has_one_gpu(log: list[object]) -> None:
    assert process_device("mps", process_index=3) == torch.device("mps", 0)
    assert log == []


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_torch_has_autocast_for_apple_gpus(precision: str) -> None:
    with autocast(torch.device("mps"), precision):
        pass


def test_the_generator_of_an_apple_gpu_is_seeded_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of torch.mps runs with a generator of the CPU, because there is none of such a GPU."""
    generator, device = torch.Generator(), torch.device("mps", 0)
    monkeypatch.setattr(torch.mps, "_get_default_mps_generator", lambda: generator)
    monkeypatch.setattr(torch._C, "_has_mps", True)
    before = generator_states(device)
    with seeded(7, device):
        assert (generator.initial_seed(), torch.initial_seed()) == (7, 7)
        torch.rand(2, generator=generator)
    after = generator_states(device)
    assert before.keys() == after.keys() == {"cpu", "mps"}
    assert all(torch.equal(before[kind], after[kind]) for kind in before)
    # A training that began on another kind of device has no state for this one.
    generator.manual_seed(1)
    restore_generators({"cpu": before["cpu"]}, device)
    assert generator.initial_seed() == 1
