"""Networks that need contiguous memory, among those in channels-last memory."""

import torch
from torch import nn

from peerkd.models.memory_format import keep_contiguous, to_channels_last
from tests.own_networks import Viewed


def test_a_network_that_is_kept_contiguous_works_as_a_part_of_another_one() -> None:
    torch.manual_seed(0)
    part, fast = Viewed(4), nn.Conv2d(3, 3, 3)
    expected = part(images := torch.rand(5, 1, 8, 8))
    keep_contiguous(part)
    to_channels_last(nn.ModuleList([fast, nn.Sequential(part)]))
    assert fast.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(part(images.contiguous(memory_format=torch.channels_last)), expected)
    assert [*part.state_dict()] == [*Viewed(4).state_dict()]
