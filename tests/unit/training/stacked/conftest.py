"""Random batches, and networks for them."""

from collections.abc import Sequence

import pytest
import torch

from peerkd.models.build import build_network
from peerkd.training.samples import Batch


class MadeBatches:
    """Batches of noise with a constant border, as digits have, and random teachers; each epoch has new batches."""

    device = torch.device("cpu")

    def __init__(self, shape_CHW, num_classes, *, batch_sizes: Sequence[int], seed: int = 0, dtype=torch.float32):
        self.shape_CHW, self.num_classes, self.dtype = tuple(shape_CHW), num_classes, dtype
        self._sizes, self._seed = batch_sizes, seed
        self.num_batches = len(batch_sizes)

    def batches(self, epoch):
        for index, size in enumerate(self._sizes):
            rng = torch.Generator().manual_seed(1000 * self._seed + 100 * epoch + index)
            images_NCHW = torch.randn(size, *self.shape_CHW, generator=rng)
            images_NCHW[..., :2] = images_NCHW[..., -1, :] = -0.7
            labels_B = torch.randint(self.num_classes, (size,), generator=rng)
            yield Batch(images_NCHW.to(self.dtype).contiguous(memory_format=torch.channels_last), labels_B, size)

    def teacher(self, seed: int, *, num_epochs: int = 4):
        rng = torch.Generator().manual_seed(77 + seed)
        return {
            epoch: [3 * torch.randn(size, self.num_classes, generator=rng, dtype=self.dtype) for size in self._sizes]
            for epoch in range(num_epochs)
        }

    def network(self, architecture: str, seed: int):
        """Build a network in which every parameter and statistic differs from its initial value."""
        network = build_network(
            architecture, image_shape_CHW=self.shape_CHW, num_classes=self.num_classes, seed=seed
        ).to(self.dtype)
        rng = torch.Generator().manual_seed(seed)
        for tensor in network.state_dict().values():
            if tensor.is_floating_point() and tensor.ndim == 1:
                # Negative scales would be rare in training; a few are set here.
                tensor.mul_(torch.where(torch.rand(tensor.shape, generator=rng) < 0.1, -1.0, 1.0)).add_(
                    0.3 * torch.randn(tensor.shape, generator=rng)
                )
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.abs_().add_(0.1)
        return network.to(memory_format=torch.channels_last)


@pytest.fixture(scope="session")
def made_batches() -> type[MadeBatches]:
    return MadeBatches
