"""The device of a process: its memory, its random generators, and the precision and layout of the networks on it.

``peerkd.device_kinds`` says what each kind of device can do. The calls of torch that differ between kinds are here.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn

from peerkd.device_kinds import DEVICE_KINDS, DeviceKind
from peerkd.models.memory_format import to_channels_last

_MAX_CONNECTIONS: Final = "32"
"""The maximum number of connections between a process and a GPU that CUDA allows; its default is 8."""

_Module = TypeVar("_Module", bound=nn.Module)


def process_device(device: str, *, process_index: int) -> torch.device:
    """Return the device of a process: the CPU, the GPU of an Apple computer, or one of the NVIDIA GPUs.

    The index of the GPU is ``process_index`` modulo the number of GPUs. With ``cuda``, the GPU also becomes the current
    device of the process. Otherwise a call that names no GPU, such as one that pins memory, would create a CUDA context
    of hundreds of megabytes on the first GPU for every process.
    """
    match device:
        case "cuda":
            # CUDA reads this when it starts. Streams beyond the number of connections share one, and then wait for each
            # other.
            os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", _MAX_CONNECTIONS)
            own = torch.device("cuda", process_index % torch.cuda.device_count())
            torch.cuda.set_device(own)
            return own
        case "mps":
            # An Apple computer has one.
            return torch.device("mps", 0)
    return torch.device(device)


def kind_of(device: torch.device) -> DeviceKind:
    """Return what a device can do."""
    return DEVICE_KINDS[device.type]


def num_gpus(device: torch.device) -> int:
    """Return the number of GPUs of the kind of a device that this process can see; 0 for the CPU."""
    match device.type:
        case "cuda":
            return torch.cuda.device_count()
        case "mps":
            return 1
    return 0


def placed(network: _Module, device: torch.device) -> _Module:
    """Move a network to a device, convert it to the memory format of networks on this device, and return it.

    Raises:
        ValueError: If the network has numbers in float64 and the device has none.
    """
    if not kind_of(device).has_float64:
        tensors = network.state_dict(keep_vars=True)
        exact = next((name for name, tensor in tensors.items() if tensor.dtype == torch.float64), None)
        if exact:
            raise ValueError(
                f"A network must have no float64 tensors on {device.type}, got {exact}: set compute.device=cpu."
            )
    network = network.to(device)
    if kind_of(device).has_channels_last:
        return to_channels_last(network)
    return network.to(memory_format=torch.contiguous_format)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Return a context manager for forward passes in a precision.

    Args:
        device: The device of the forward passes.
        precision: ``float32``, or ``bfloat16``, which torch's autocast uses for the operations that allow it.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def widened(tensor: Tensor) -> Tensor:
    """Return a tensor in float32, the precision of losses. A tensor in float64 is returned unchanged."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def sum_dtype(device: torch.device) -> torch.dtype:
    """Return the type of sums over many steps on a device: float64, or float32 if the device has no float64."""
    return torch.float64 if kind_of(device).has_float64 else torch.float32


def finish(device: torch.device) -> None:
    """Wait until a device has finished all its work."""
    match device.type:
        case "cuda":
            torch.cuda.synchronize(device)
        case "mps":
            torch.mps.synchronize()


def gpu_bytes(device: torch.device) -> tuple[int, int]:
    """Return the GPU memory in bytes that the tensors of this process use now, and the peak so far.

    Both are 0 on the CPU. On an Apple GPU, torch does not record the peak. The second number is then the memory that
    torch has taken from the GPU, of which it gives little back.
    """
    match device.type:
        case "cuda":
            return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
        case "mps":
            return torch.mps.current_allocated_memory(), torch.mps.driver_allocated_memory()
    return 0, 0


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's random generators of the CPU and of a device, by the kinds of the devices."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = torch.get_device_module(device).get_rng_state(device)
    return states


def restore_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Set torch's random generators of the CPU and of a device to states that ``generator_states`` returned.

    The generator of the device stays as it is if the states are from another kind of device.
    """
    torch.set_rng_state(states["cpu"])
    if device.type != "cpu" and device.type in states:
        torch.get_device_module(device).set_rng_state(states[device.type], device)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's random generators of the CPU and of a device in a ``with`` block.

    The earlier states of the generators are restored afterwards.
    """
    states = generator_states(device)
    try:
        torch.default_generator.manual_seed(seed)
        match device.type:
            case "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            case "mps":
                torch.mps.manual_seed(seed)
        yield
    finally:
        restore_generators(states, device)
