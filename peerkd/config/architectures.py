"""The networks that a config can name: their blocks, branch points and image sizes. This module needs no torch.

The networks that ``peerkd.models`` builds have the same names, modules and blocks. Tests compare the two.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

Architecture = Literal[
    "mlp",
    "small_cnn",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet56",
    "resnet110",
    "wrn20_8",
    "densenet40_12",
    "vgg16",
    "resnet18_imagenet",
    "resnet34_imagenet",
    "resnet50_imagenet",
    "resnext50_imagenet",
]


class ArchitectureFacts(NamedTuple):
    """The structure of a network."""

    module: str
    """The name of the module of ``peerkd.models`` that builds the network."""

    blocks: tuple[str, ...]
    """The blocks in order from the image to the logits. The last block is ``classifier``."""

    branch_point: str
    """The default branch point: each branch has its own copy of this block and of all later ones. Earlier blocks are
    shared."""

    min_image_size_pixels: int
    """The smallest permitted height and width of an image. The network halves an image several times. A smaller image
    would have only one pixel left before the last of these steps."""

    has_maps: bool
    """Whether the network has feature maps, which the block ``pool`` averages into features."""


_TAIL: Final = ("pool", "classifier")
_THREE_STAGES: Final = ("stem", "stage1", "stage2", "stage3", *_TAIL)
_FOUR_STAGES: Final = ("stem", "stage1", "stage2", "stage3", "stage4", *_TAIL)
_CIFAR: Final = ArchitectureFacts(
    "resnet", _THREE_STAGES, branch_point="stage3", min_image_size_pixels=4, has_maps=True
)
_IMAGENET: Final = ArchitectureFacts(
    "imagenet", _FOUR_STAGES, branch_point="stage4", min_image_size_pixels=32, has_maps=True
)

ARCHITECTURE_FACTS: Final[Mapping[str, ArchitectureFacts]] = {
    "mlp": ArchitectureFacts(
        "small", ("hidden1", "hidden2", "classifier"), branch_point="hidden2", min_image_size_pixels=1, has_maps=False
    ),
    "small_cnn": ArchitectureFacts(
        "small", ("stage1", "stage2", *_TAIL), branch_point="stage2", min_image_size_pixels=4, has_maps=True
    ),
    "resnet18": _IMAGENET._replace(module="resnet", min_image_size_pixels=8),
    "resnet20": _CIFAR,
    "resnet32": _CIFAR,
    "resnet56": _CIFAR,
    "resnet110": _CIFAR,
    "wrn20_8": _CIFAR,
    "densenet40_12": _CIFAR._replace(module="densenet"),
    "vgg16": ArchitectureFacts(
        "vgg",
        ("stage1", "stage2", "stage3", "stage4", "stage5", *_TAIL),
        branch_point="stage5",
        min_image_size_pixels=32,
        has_maps=True,
    ),
    "resnet18_imagenet": _IMAGENET,
    "resnet34_imagenet": _IMAGENET,
    "resnet50_imagenet": _IMAGENET,
    "resnext50_imagenet": _IMAGENET,
}


def network_modules(architectures: Iterable[str]) -> tuple[str, ...]:
    """Return the modules of ``peerkd.models`` that build these networks, each once, so that a caller can import them.

    Networks of other packages are omitted. Their modules are imported where the networks are built.
    """
    known = [facts for name in architectures if (facts := ARCHITECTURE_FACTS.get(name))]
    return tuple(dict.fromkeys(f"peerkd.models.{facts.module}" for facts in known))


def branch_points(architecture: str) -> tuple[str, ...]:
    """Return the blocks at which branches may begin.

    The first block is always shared, and each branch has its own pooling and classifier.
    """
    return tuple(block for block in ARCHITECTURE_FACTS[architecture].blocks[1:] if block not in _TAIL)


def check_branch_point(architecture: str, branch_point: str | None) -> None:
    """Check that branches may begin at a block. None stands for the architecture's default.

    Raises:
        ValueError: If branches may not begin at this block.
    """
    known = branch_points(architecture)
    if branch_point is not None and branch_point not in known:
        rule = f"one of {', '.join(known)}" if len(known) > 1 else known[0]
        raise ValueError(f"collaboration.branch_point must be {rule} for {architecture}, got {branch_point}.")


def check_image_size(architecture: str, image_shape_CHW: tuple[int, int, int]) -> None:
    """Check that images are large enough for a network. Networks of other packages are not checked.

    Raises:
        ValueError: If the images are too small for the network.
    """
    _, height, width = image_shape_CHW
    facts = ARCHITECTURE_FACTS.get(architecture)
    least = facts.min_image_size_pixels if facts else 1
    if min(height, width) < least:
        raise ValueError(
            f"architectures must accept the data set's images of {height}x{width} pixels, "
            f"got {architecture}, which needs at least {least}x{least}."
        )
