"""Residual networks for 32x32 images (He et al. 2016, arXiv:1512.03385).

ResNet-20/32/56 are the CIFAR networks of section 4.2: three stages of n blocks with 16, 32 and 64 channels, depth
6n + 2. ResNet-18 is the ImageNet network of table 1 with the stem that CIFAR work gives it: one 3x3 convolution of
stride 1 and no pooling. Where a block changes shape its shortcut is a 1x1 convolution (option B) in both; the
original CIFAR networks pad with zeros (option A), which saves a few thousand parameters and is otherwise the same.

Shape suffixes: B = batch, C = image channels, H W = image size, F = features, K = classes.
"""

from typing import cast

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet


class CifarResNet(nn.Module):
    """Three stages of basic blocks, average pooling, one linear layer: ``images_BCHW -> logits_BK``."""

    def __init__(self, *, num_blocks: int, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        )
        self.stages = nn.Sequential(
            _stage(16, 16, num_blocks=num_blocks, stride=1),
            _stage(16, 32, num_blocks=num_blocks, stride=2),
            _stage(32, 64, num_blocks=num_blocks, stride=2),
        )
        self.classifier = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return ``logits_BK``."""
        features_BF = self.stages(self.stem(images_BCHW)).mean(dim=(2, 3))
        return cast(Tensor, self.classifier(features_BF))


def cifar_resnet(*, depth: int, image_shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Build the CIFAR residual network of ``depth`` layers.

    Raises:
        ValueError: If ``depth`` is not 6n + 2 for some n of at least 1.
    """
    num_blocks, remainder = divmod(depth - 2, 6)
    if num_blocks < 1 or remainder:
        raise ValueError(f"depth must be 6n + 2, got {depth}.")
    return CifarResNet(num_blocks=num_blocks, in_channels=image_shape_CHW[0], num_classes=num_classes)


def resnet18(*, image_shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Build ResNet-18 with the stem for 32x32 images."""
    network = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=num_classes)
    network.conv1 = nn.Conv2d(image_shape_CHW[0], 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return cast(nn.Module, network)


def _stage(in_channels: int, out_channels: int, *, num_blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
        )
    first = BasicBlock(in_channels, out_channels, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels) for _ in range(num_blocks - 1)))
