"""Residual networks for large images: those of torchvision, as named blocks.

The networks are ResNet-18/34/50 (He et al. 2016, arXiv:1512.03385, table 1, with the stride of a bottleneck on its 3x3
convolution) and ResNeXt-50 32x4d (Xie et al. 2017, arXiv:1611.05431). Their stem, a 7x7 convolution of stride 2 and a
3x3 pooling of stride 2, reduces height and width to a quarter.

Shape suffixes: B = batch, C = image channels, H W = image size, K = classes.
"""

from typing import Literal

from torch import nn
from torchvision.models import resnet

from peerkd.models.resnet import four_stages


def imagenet_resnet(
    *,
    name: Literal["resnet18", "resnet34", "resnet50", "resnext50_32x4d"],
    image_shape_CHW: tuple[int, int, int],
    num_classes: int,
) -> nn.Sequential:
    """Build the network that torchvision calls ``name``: ``images_BCHW -> logits_BK``.

    If images have three channels, the initial weights equal those of torchvision with the same generator.
    """
    network = getattr(resnet, name)(num_classes=num_classes)
    stem = network.conv1
    if image_shape_CHW[0] != stem.in_channels:
        stem = nn.Conv2d(image_shape_CHW[0], 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    return four_stages(network, stem=nn.Sequential(stem, network.bn1, network.relu, network.maxpool))
