"""Residual networks for 32x32 images (He et al. 2016, arXiv:1512.03385).

``cifar_resnet`` builds the CIFAR networks of section 4.2, such as ResNet-20: three stages of n blocks with 16, 32 and
64 channels, and a depth of 6n + 2. ResNet-18 is the ImageNet network of table 1 with the usual stem for CIFAR: a 3x3
convolution of stride 1 without pooling. Shortcuts between different shapes are 1x1 convolutions (option B) in all of
them. The original CIFAR networks pad with zeros instead (option A), which saves a few thousand parameters.

``resnet110`` and ``wrn20_8`` are the networks of these names in the tables of papers on online distillation, as in the
code of OKDDip (DefangChen/OKDDip, commit c6a05de). They have bottleneck blocks, which He et al. use only for ImageNet.
In other papers, ResNet-110 is a network of basic blocks, as ``cifar_resnet(depth=110)`` builds it, and a WRN is a wide
network without bottlenecks.

Shape suffixes: B = batch, C = image channels, H W = image size, F = features, K = classes.
"""

from collections import OrderedDict

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from peerkd.models.pooling import average_pool


def cifar_resnet(*, depth: int, image_shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Sequential:
    """Build the CIFAR residual network of ``depth`` layers: ``images_BCHW -> logits_BK``.

    Raises:
        ValueError: If ``depth`` is not 6n + 2 for an n of at least 1.
    """
    num_blocks, remainder = divmod(depth - 2, 6)
    if num_blocks < 1 or remainder:
        raise ValueError(f"depth must be 6n + 2, got {depth}.")
    return _three_stages(BasicBlock, num_blocks, in_channels=image_shape_CHW[0], num_classes=num_classes)


def resnet110(*, image_shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Sequential:
    """Build a network of three stages with 12 bottleneck blocks each: ``images_BCHW -> logits_BK``."""
    return _three_stages(Bottleneck, 12, in_channels=image_shape_CHW[0], num_classes=num_classes)


def wrn20_8(*, image_shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Sequential:
    """Build a network of three stages with 2 bottleneck blocks each: ``images_BCHW -> logits_BK``.

    The inner convolution of a block has 8 times as many channels as in ``resnet110``.
    """
    return _three_stages(Bottleneck, 2, in_channels=image_shape_CHW[0], num_classes=num_classes, base_width=8 * 64)


def resnet18(*, image_shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Sequential:
    """Build ResNet-18 with the stem for 32x32 images: ``images_BCHW -> logits_BK``."""
    network = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=num_classes)
    stem = nn.Conv2d(image_shape_CHW[0], 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    return four_stages(network, stem=nn.Sequential(stem, network.bn1, network.relu))


def four_stages(network: ResNet, *, stem: nn.Sequential) -> nn.Sequential:
    """Return a network of named blocks: those of a torchvision network, with ``stem`` in place of its own stem.

    The modules are shared with ``network``, not copied.
    """
    return nn.Sequential(
        OrderedDict(
            stem=stem,
            stage1=network.layer1,
            stage2=network.layer2,
            stage3=network.layer3,
            stage4=network.layer4,
            pool=average_pool(),
            classifier=network.fc,
        )
    )


def _three_stages(
    block: type[BasicBlock] | type[Bottleneck],
    num_blocks: int,
    *,
    in_channels: int,
    num_classes: int,
    base_width: int = 64,
) -> nn.Sequential:
    """Build a CIFAR network of three stages, with ``num_blocks`` blocks in each stage.

    The stages have 16, 32 and 64 planes. A basic block has as many channels as planes. A bottleneck returns four times
    as many, and its inner convolution has ``planes * base_width / 64`` channels.
    """

    def stage(channels: int, planes: int, *, stride: int) -> nn.Sequential:
        out_channels = planes * block.expansion
        shortcut = None
        if stride != 1 or channels != out_channels:
            shortcut = nn.Sequential(
                nn.Conv2d(channels, out_channels, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        first = block(channels, planes, stride, shortcut, base_width=base_width)
        others = (block(out_channels, planes, base_width=base_width) for _ in range(num_blocks - 1))
        return nn.Sequential(first, *others)

    network = nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(
                nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(16),
                nn.ReLU(inplace=True),
            ),
            stage1=stage(16, 16, stride=1),
            stage2=stage(16 * block.expansion, 32, stride=2),
            stage3=stage(32 * block.expansion, 64, stride=2),
            pool=average_pool(),
            classifier=nn.Linear(64 * block.expansion, num_classes),
        )
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
