"""The CPU with the abilities of an Apple GPU: no float64, no channels-last memory, and one student at a time.

An Apple GPU refuses float64 tensors; here, a dispatch mode does.
"""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from peerkd.device_kinds import DEVICE_KINDS


class NoFloat64(TorchDispatchMode):
    """Fails when an operation of torch takes or returns a float64 tensor."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # If it were skipped, torch would import its compiler, which takes seconds.
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        assert not has_float64((*args, result)), f"{function} has float64"
        return result


def has_float64(values: Iterable[Any]) -> bool:
    return any(
        each.dtype == torch.float64
        if isinstance(each, torch.Tensor)
        else isinstance(each, list | tuple) and has_float64(each)
        for each in values
    )


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEVICE_KINDS, "cpu", DEVICE_KINDS["mps"])
