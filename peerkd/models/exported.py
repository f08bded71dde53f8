"""Networks for deployment after training: single modules ``images_BCHW -> logits_BK``.

Shape suffixes: B = batch, C = image channels, H W = image size, K = classes.
"""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from peerkd.models.branched import BranchedNetwork, build_branched
from peerkd.models.build import build_network
from peerkd.models.heads import average_logits


class EnsembleNetwork(nn.Module):
    """A classifier that combines all branches of a network."""

    def __init__(self, network: BranchedNetwork, *, combine: Literal["head", "average"]) -> None:
        """Wrap a branched network.

        Args:
            network: A trained network.
            combine: ``head`` returns the logits of the joined, gated or fused head, ``average`` the logarithm of the
                mean of the branches' probabilities.
        """
        super().__init__()
        self.network = network
        self._combine = combine

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return ``logits_BK``."""
        outputs = self.network(images_BCHW)
        if self._combine == "average":
            return average_logits(outputs.logits_MBK)
        assert outputs.head_logits_BK is not None
        logits_BK: Tensor = outputs.head_logits_BK
        return logits_BK


def build_exported(description: Mapping[str, Any]) -> nn.Module:
    """Build the network that an export describes, with random weights.

    Args:
        description: Mapping with ``architecture``, ``image_shape`` and ``num_classes``, and for an ensemble also
            ``num_branches``, ``branch_point``, ``head`` and ``combine``.
    """
    shape = {"image_shape_CHW": tuple(description["image_shape"]), "num_classes": description["num_classes"]}
    if "combine" not in description:
        return build_network(description["architecture"], **shape, seed=0)
    network = build_branched(
        description["architecture"],
        num_branches=description["num_branches"],
        branch_point=description["branch_point"],
        head=description["head"],
        **shape,
        seed=0,
    )
    return EnsembleNetwork(network, combine=description["combine"])
