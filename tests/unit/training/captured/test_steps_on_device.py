"""Steps that read no number from a tensor, so that a device need not wait for the host."""

from typing import Any

import pytest
import torch
from torch.optim.sgd import sgd
from torch.utils._python_dispatch import TorchDispatchMode

from peerkd.training.captured.step import take_step
from peerkd.training.samples import BatchSize
from tests.distillations import Trials, TrialSpec

WANTED = [
    TrialSpec(1, None, 0.0, None),
    TrialSpec(1, 2, 0.3, 1.3),
    TrialSpec(2, 1, 1.0, 4.0),
    TrialSpec(2, 0, 0.5, 2.0),
]


class Watching(TorchDispatchMode):
    """A mode that records every read of a number from a tensor, in backward passes too. On a GPU a read waits, and no
    capture allows it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_ops, self.readers = 0, list[str]()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.num_ops += 1
        if function.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero):
            self.readers.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["mlp", "small_cnn", "resnet20", "resnet18", "densenet40_12"])
def test_steps_read_no_number_from_a_tensor(architecture: str, precision: str) -> None:
    trials = Trials(architecture, nesterov=True, precision=precision)
    lanes = trials.lanes()
    lanes.grow(1, batch_sizes=[BatchSize(2)])
    with Watching() as watching:
        take_step(lanes.student(0), lanes._batch, size=BatchSize(2), recipe=trials.recipe)
    assert watching.num_ops > 20
    assert watching.readers == []


def test_torchs_optimiser_with_a_rate_in_a_tensor_reads_it() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    with Watching() as watching:
        sgd(
            [parameter.detach()],
            [parameter.grad],
            [None],
            foreach=True,
            weight_decay=0,
            momentum=0,
            lr=torch.tensor(0.1),
            dampening=0,
            nesterov=False,
            maximize=False,
        )  # type: ignore[arg-type]
    assert watching.readers == ["aten._local_scalar_dense.default"]
