"""Networks with several branches on one trunk, for any architecture that is split between two of its blocks.

Shape suffixes: M = branches, V = views, B = batch, N = V * B images (all of view 0 first), C = channels, H W = image
size, F = features, K = classes, A = branches that attend to each other.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from peerkd.models.build import build_network
from peerkd.models.heads import AttentionHead, FusedHead, GatedHead, JoinedHead
from peerkd.seeds import derive_seed

POOL = "pool"
CLASSIFIER = "classifier"


class BranchOutputs(NamedTuple):
    """The outputs of a branched network for a batch."""

    logits_MBK: Tensor
    """The logits of each branch. The shape is (1, N, K) for a network with one branch and several views."""

    head_logits_BK: Tensor | None
    """The logits of a joined, gated or fused head. None if the network has no such head."""

    attention_BAA: Tensor | None
    """The weights of an attention head. None if the network has no such head. Row ``a`` contains the weights with which
    branch ``a`` learns from the A branches."""

    def float(self) -> "BranchOutputs":
        """Return the outputs in float32, in which the losses are computed."""
        head, attention = self.head_logits_BK, self.attention_BAA
        return BranchOutputs(
            self.logits_MBK.float(),
            None if head is None else head.float(),
            None if attention is None else attention.float(),
        )


class _ScaledGradient(torch.autograd.Function):
    """A function that returns its input unchanged. Its backward pass multiplies the gradient by a factor."""

    @staticmethod
    def forward(context: Any, values: Tensor, factor: float) -> Tensor:
        context.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * context.factor, None


class BranchedNetwork(nn.Module):
    """A trunk, its branches and an optional head that combines them: ``images_NCHW -> BranchOutputs``."""

    def __init__(
        self,
        trunk: nn.Sequential,
        branches: list[nn.Sequential],
        *,
        head: nn.Module | None = None,
        view_batch_norm: Literal["separate", "joined"] = "separate",
        scale_trunk_gradient: bool = False,
    ) -> None:
        """Combine the parts.

        Args:
            trunk: Named blocks that all branches share; empty if they share none.
            branches: Named blocks of each branch; the last block is ``classifier``.
            head: A head of ``peerkd.models.heads``, or None.
            view_batch_norm: ``separate`` passes one view after the other through the trunk, so that batch normalisation
                uses the statistics of each view and updates its running mean V times per step. With a momentum of 0.1,
                a step then keeps ``0.9^V`` of the old running mean instead of 0.9. ``joined`` passes all views as one
                batch, with common statistics and a single update per step.
            scale_trunk_gradient: Whether to divide the gradient that reaches the trunk by the number of branches (Song
                and Chai 2018, arXiv:1805.11761, section 2.2), so that the gradient does not grow with this number.
        """
        super().__init__()
        self.trunk = trunk
        self.branches = nn.ModuleList(branches)
        self.head = head
        self._separate = view_batch_norm == "separate"
        self._trunk_gradient_factor = 1 / len(branches) if scale_trunk_gradient else None

    @property
    def num_branches(self) -> int:
        """The number of branches, M."""
        return len(self.branches)

    def forward(self, images_NCHW: Tensor, num_views: int = 1) -> BranchOutputs:
        """Run the trunk, every branch, and the head if there is one.

        Args:
            images_NCHW: V views of B samples, those of view 0 first.
            num_views: Number of views, V. With 1 view, all branches get the same images; with M views, branch m gets
                view m. A network with a single branch takes any number of views.

        Raises:
            ValueError: If ``num_views`` is neither 1 nor M and there are several branches.
        """
        if self.num_branches > 1 and num_views not in (1, self.num_branches):
            raise ValueError(f"num_views must be 1 or {self.num_branches}, got {num_views}.")
        passes = images_NCHW.chunk(num_views) if self._separate else (images_NCHW,)
        trunks = [self._run_trunk(images) for images in passes]
        inputs = self._branch_inputs(trunks, num_views)
        maps, features, logits = zip(*(_run(branch, x) for branch, x in inputs), strict=True)
        logits_MBK = torch.cat(logits)[None] if self.num_branches == 1 else torch.stack(logits)
        head_logits_BK = attention_BAA = None
        match self.head:
            case JoinedHead():
                head_logits_BK = self.head(torch.stack(features))
            case GatedHead():
                head_logits_BK = self.head(_pooled(trunks[0]), logits_MBK)
            case FusedHead():
                head_logits_BK = self.head(maps)
            case AttentionHead():
                # The last branch is the leader: it learns from the others, and none of them learns from it.
                attention_BAA = self.head(torch.stack(features[:-1]))
        return BranchOutputs(logits_MBK, head_logits_BK, attention_BAA)

    def plain_state(self, branch: int) -> dict[str, Tensor]:
        """Return the weights of the trunk and one branch, as a ``state_dict`` for a network from ``build_network``.

        Args:
            branch: The number of the branch, from 0.
        """
        part = self.branches[branch]
        return {**self.trunk.state_dict(), **part.state_dict()}

    def _run_trunk(self, images_NCHW: Tensor) -> Tensor:
        trunk: Tensor = self.trunk(images_NCHW)
        if self._trunk_gradient_factor is not None and trunk.requires_grad:
            scaled: Tensor = _ScaledGradient.apply(trunk, self._trunk_gradient_factor)
            return scaled
        return trunk

    def _branch_inputs(self, trunks: list[Tensor], num_views: int) -> Iterator[tuple[nn.Module, Tensor]]:
        """Yield each branch with its input, the output of the trunk.

        If there is only one branch, it is yielded once for each output in ``trunks``.
        """
        if self.num_branches == 1:
            yield from ((self.branches[0], trunk) for trunk in trunks)
            return
        if num_views == 1:
            trunks = trunks * self.num_branches
        elif not self._separate:
            trunks = list(trunks[0].chunk(num_views))
        yield from zip(self.branches, trunks, strict=True)


def build_branched(
    architecture: str,
    *,
    num_branches: int,
    branch_point: str | None,
    head: Literal["joined", "gated", "attention", "fused"] | None,
    image_shape_CHW: tuple[int, int, int],
    num_classes: int,
    seed: int,
    view_batch_norm: Literal["separate", "joined"] = "separate",
    scale_trunk_gradient: bool = False,
) -> BranchedNetwork:
    """Build a network whose branches have different initial weights.

    Branches with equal weights and equal inputs would stay equal, so each branch has its own seed, from which the
    weights of all its blocks are drawn, those of the classifier included. The trunk and the first branch have the
    weights of ``build_network`` with the same seed.

    Args:
        architecture: Name of an architecture, as for ``build_network``.
        num_branches: Number of branches, M, at least 1.
        branch_point: The first block of the branches; the blocks before it are the trunk. None shares no block.
        head: Kind of the head that combines the branches, or None.
        image_shape_CHW: Channels, height and width of an image.
        num_classes: Number of classes, K.
        seed: Seed of all weights.
        view_batch_norm: Whether batch normalisation uses the statistics of each view (``separate``) or of all views
            together (``joined``).
        scale_trunk_gradient: Whether to divide the gradient that reaches the trunk by M.

    Raises:
        ValueError: If branches cannot begin at the branch point, or the network lacks the trunk or the feature maps
            that its head needs.
    """
    seeds = [seed, *(derive_seed(seed, "branch", branch) for branch in range(1, num_branches))]
    networks = [
        build_network(architecture, image_shape_CHW=image_shape_CHW, num_classes=num_classes, seed=each)
        for each in seeds
    ]
    names = [name for name, _ in networks[0].named_children()]
    splits = [name for name in names[1:] if name not in (POOL, CLASSIFIER)]
    if branch_point is not None and branch_point not in splits:
        raise ValueError(f"branch_point must be one of {', '.join(splits)}, got {branch_point}.")
    first = 0 if branch_point is None else names.index(branch_point)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, "head"))
        built = _build_head(
            head,
            networks[0],
            first,
            num_branches=num_branches,
            image_shape_CHW=image_shape_CHW,
            num_classes=num_classes,
        )
    return BranchedNetwork(
        networks[0][:first],
        [network[first:] for network in networks],
        head=built,
        view_batch_norm=view_batch_norm,
        scale_trunk_gradient=scale_trunk_gradient,
    )


def _build_head(
    head: str | None,
    network: nn.Sequential,
    first: int,
    *,
    num_branches: int,
    image_shape_CHW: tuple[int, int, int],
    num_classes: int,
) -> nn.Module | None:
    if head is None:
        return None
    if head == "gated" and first == 0:
        raise ValueError("branch_point must be set for a gated head, got None.")
    if head == "fused" and not hasattr(network, POOL):
        raise ValueError("architecture must have feature maps for a fused head, got one without.")
    trunk, maps, features = _num_channels(network, first, image_shape_CHW)
    match head:
        case "joined":
            return JoinedHead(num_branches=num_branches, num_features=features, num_classes=num_classes)
        case "gated":
            return GatedHead(num_branches=num_branches, num_trunk_channels=trunk)
        case "attention":
            return AttentionHead(num_features=features)
        case "fused":
            return FusedHead(num_branches=num_branches, num_channels=maps, num_classes=num_classes)
    raise ValueError(f"head must be joined, gated, attention or fused, got {head}.")


@torch.no_grad()
def _num_channels(network: nn.Sequential, first: int, image_shape_CHW: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the numbers of channels of the trunk's output and of the last feature maps, and the number of features.

    They are found by running the network on an image of zeros.
    """
    was_training = network.training
    network.eval()
    trunk = network[:first](torch.zeros(1, *image_shape_CHW))
    maps, features, _ = _run(network[first:], trunk)
    network.train(was_training)
    return trunk.shape[1], maps.shape[1], features.shape[1]


def _run(branch: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the feature maps, the features and the logits of a branch.

    A branch without the block ``pool`` has no feature maps. Its features are then returned twice: in place of the
    feature maps, and as the features.
    """
    maps = None
    for name, block in branch.named_children():
        if name == POOL:
            maps = inputs
        if name == CLASSIFIER:
            return inputs if maps is None else maps, inputs, block(inputs)
        inputs = block(inputs)
    raise AssertionError("The last block of a branch must be its classifier.")


def _pooled(trunk: Tensor) -> Tensor:
    return trunk.mean(dim=tuple(range(2, trunk.dim()))) if trunk.dim() > 2 else trunk
