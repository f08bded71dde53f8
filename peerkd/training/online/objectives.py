"""The network and the loss of each method.

Shape suffixes: M = branches, V = views, B = batch, C = image channels, H W = image size, K = classes.
"""

from torch import Tensor

from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.methods import METHODS, Method
from peerkd.losses.online.branches import cross_entropy_of_branches
from peerkd.losses.online.collaborative import collaborative_loss
from peerkd.losses.online.diverse_peers import diverse_peers_loss
from peerkd.losses.online.fusion import fusion_loss
from peerkd.losses.online.mutual import mutual_loss
from peerkd.losses.online.native_ensemble import native_ensemble_loss
from peerkd.losses.online.parts import LossParts
from peerkd.losses.online.pcl import pcl_loss
from peerkd.losses.online.ramp import ramp_weight
from peerkd.losses.online.shared_ensemble import shared_ensemble_loss
from peerkd.models.branched import BranchedNetwork, BranchOutputs, build_branched


def build_for_method(
    method: Method,
    collaboration: CollaborationConfig,
    *,
    architecture: str,
    branch_point: str,
    image_shape_CHW: tuple[int, int, int],
    num_classes: int,
    seed: int,
) -> BranchedNetwork:
    """Build the network that a method trains, with weights from ``seed``.

    Args:
        method: The method, which determines the number of branches, whether they share a trunk, and their head.
        collaboration: The settings of the method.
        architecture: The architecture, as in ``build_network``.
        branch_point: The first block that each branch has for itself, if the branches share a trunk.
        image_shape_CHW: Channels, height and width of one image.
        num_classes: K.
        seed: The seed. With the same seed, all methods start from the same trunk and the same first branch.
    """
    facts = METHODS[method]
    return build_branched(
        architecture,
        num_branches=collaboration.num_branches if facts.has_branches else 1,
        branch_point=branch_point if facts.shares_trunk and facts.has_branches else None,
        head=facts.head,
        image_shape_CHW=image_shape_CHW,
        num_classes=num_classes,
        seed=seed,
        view_batch_norm=collaboration.view_batch_norm,
        scale_trunk_gradient=method == "cl_ilr",
    )


def num_views(method: Method, collaboration: CollaborationConfig) -> int:
    """Return the number of views of a sample in a step of the method."""
    return collaboration.num_branches if METHODS[method].has_views else 1


def distillation_weight(method: Method, collaboration: CollaborationConfig, *, epoch: int) -> float:
    """Return the weight that the distillation terms of the loss have in an epoch, counted from 0."""
    if not METHODS[method].ramps_up:
        return collaboration.distillation_weight
    return ramp_weight(epoch, length_epochs=collaboration.rampup_epochs, ceiling=collaboration.distillation_weight)


def loss_parts(
    method: Method,
    collaboration: CollaborationConfig,
    outputs: BranchOutputs,
    labels_B: Tensor,
    *,
    mean_outputs: BranchOutputs | None,
) -> LossParts:
    """Return the parts of a method's loss for a batch. The formulas and sources are in ``peerkd.losses.online``.

    Args:
        method: The method.
        collaboration: The settings of the method.
        outputs: The outputs of the trained network for the batch.
        labels_B: The classes of the samples.
        mean_outputs: The outputs of the mean network for the batch; None if the loss does not use them.
    """
    logits_MBK = outputs.logits_MBK
    temperature = collaboration.temperature
    match method:
        case "plain" | "ema":
            return LossParts({"cross_entropy_branches": cross_entropy_of_branches(logits_MBK, labels_B)}, {})
        case "multi_view":
            # The loss is the mean over views, not the sum, so the learning rate has the same meaning as in plain
            # training.
            labels_N = labels_B.repeat(logits_MBK.shape[1] // len(labels_B))
            return LossParts({"cross_entropy_branches": cross_entropy_of_branches(logits_MBK, labels_N)}, {})
        case "dml":
            return mutual_loss(logits_MBK, labels_B, temperature=temperature)
        case "cl_ilr":
            return collaborative_loss(
                logits_MBK,
                labels_B,
                temperature=temperature,
                cross_entropy_weight=collaboration.cross_entropy_weight,
            )
        case "kdcl":
            return shared_ensemble_loss(
                logits_MBK, labels_B, temperature=temperature, ensemble=collaboration.kdcl_ensemble
            )
        case "one":
            return native_ensemble_loss(
                logits_MBK, labels_B, ensemble_logits_BK=_of_head(outputs), temperature=temperature
            )
        case "ffl_s":
            return fusion_loss(logits_MBK, labels_B, fused_logits_BK=_of_head(outputs), temperature=temperature)
        case "okddip":
            assert outputs.attention_BAA is not None
            return diverse_peers_loss(
                logits_MBK, labels_B, attention_BAA=outputs.attention_BAA, temperature=temperature
            )
        case "pcl" | "pcl_single_view" | "pcl_no_ensemble" | "pcl_no_mean":
            return pcl_loss(
                logits_MBK,
                labels_B,
                ensemble_logits_BK=outputs.head_logits_BK,
                mean_logits_MBK=None if mean_outputs is None else mean_outputs.logits_MBK,
                temperature=temperature,
            )


def _of_head(outputs: BranchOutputs) -> Tensor:
    assert outputs.head_logits_BK is not None
    return outputs.head_logits_BK
