"""The kinds of devices that networks train on, and what each kind can do. This module needs no torch.

Code that depends on the device reads a property from this table, and does not compare names of kinds. The calls of
torch that differ between kinds are in ``peerkd.training.devices``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceKind:
    """What a kind of device can do."""

    noun: str
    """The word for one such device."""

    engine: Literal["side_by_side", "captured", "one_by_one"]
    """The fastest engine for the students of a sweep. side_by_side: small students train together, in operations on all
    of their weights. captured: the steps of several students at once are captured in CUDA graphs. one_by_one: one
    student trains at a time, and torch executes each operation of a step when it is called."""

    process_group: Literal["gloo", "nccl"] | None
    """The backend with which processes on such devices share one training; None if they cannot."""

    has_float64: bool
    """Whether tensors on the device can have the type float64."""

    has_channels_last: bool
    """Whether all operations of a training are right and fast with images in channels-last memory."""

    has_pinned_memory: bool
    """Whether the device copies from pinned memory of the host by itself, while the host continues its work."""

    resident_bytes: int
    """The maximum size of a packed set of images that is copied to the device as a whole."""


DEVICE_KINDS: Final[Mapping[str, DeviceKind]] = {
    "cuda": DeviceKind(
        noun="GPU",
        engine="captured",
        process_group="nccl",
        has_float64=True,
        has_channels_last=True,
        has_pinned_memory=True,
        resident_bytes=2**33,
    ),
    "mps": DeviceKind(
        noun="GPU",
        engine="one_by_one",
        process_group=None,
        has_float64=False,
        # The gradient of batch normalisation is wrong in channels-last memory (pytorch/pytorch issue 175189).
        has_channels_last=False,
        # A copy during which the host goes on may read memory that has been freed (pytorch/pytorch issue 189690).
        has_pinned_memory=False,
        # The GPU uses the memory of the computer, in which the images are already mapped.
        resident_bytes=0,
    ),
    "cpu": DeviceKind(
        noun="core",
        engine="side_by_side",
        process_group="gloo",
        has_float64=True,
        has_channels_last=True,
        has_pinned_memory=False,
        # Reading mapped memory is as fast.
        resident_bytes=0,
    ),
}
"""All kinds, by the value of ``compute.device``, which is also torch's name.

On a machine with devices of several kinds, ``auto`` takes the first kind in this order. ``cuda`` stands for NVIDIA
GPUs, ``mps`` for the GPU of an Apple computer.
"""
