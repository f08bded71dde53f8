"""The methods of online distillation and their controls, with their components. This module needs no torch.

*Online* means that no teacher is trained beforehand. The teachers are the branches of the network, combinations of
branches, or moving averages of branches. The losses are in ``peerkd.losses.online``.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Method = Literal[
    "plain",
    "multi_view",
    "ema",
    "dml",
    "cl_ilr",
    "one",
    "ffl_s",
    "okddip",
    "kdcl",
    "pcl",
    "pcl_single_view",
    "pcl_no_ensemble",
    "pcl_no_mean",
]

Head = Literal["joined", "gated", "attention", "fused"]
"""The module that combines the branches. joined: a classifier on the concatenated features. gated: a sum of the logits,
with weights from a gate on the trunk. attention: the target of each auxiliary branch is a mixture of the probabilities
of all auxiliary branches. fused: convolutions on the concatenated last feature maps, and a classifier."""


class MethodFacts(NamedTuple):
    """The components of a method."""

    title: str
    """The name of the method in reports."""

    source: str
    """The publication of the method. ``control`` and ``ablation`` stand for methods without a publication."""

    has_branches: bool = False
    """Whether the network has the configured number of branches. Otherwise it has a single branch."""

    shares_trunk: bool = True
    """Whether the branches share the trunk before the branch point. Otherwise each branch is a whole network."""

    has_views: bool = False
    """Whether a step uses ``num_branches`` views of each sample. Each of several branches gets one view, and a single
    branch gets all views. Otherwise a step uses one view."""

    head: Head | None = None
    """The module that combines the branches, if any."""

    has_mean_network: bool = False
    """Whether training also keeps a mean network, the moving average of the trained network's weights."""

    ramps_up: bool = False
    """Whether the weight of the distillation rises over the first epochs."""

    deployed: str = "branch_1"
    """The name of the predictor, such as a branch, that is deployed as the method's result. ``leader`` stands for the
    last branch."""

    ensemble: str | None = None
    """The name of the predictor, such as the head, that is deployed as the method's ensemble, if any."""


_PCL: Final = MethodFacts(
    title="PCL",
    source="Wu and Gong 2021, arXiv:2006.04147",
    has_branches=True,
    has_views=True,
    head="joined",
    has_mean_network=True,
    ramps_up=True,
    deployed="mean_branch_1",
    ensemble="mean_head",
)

METHODS: Final[Mapping[Method, MethodFacts]] = {
    "plain": MethodFacts(title="Plain training", source="control"),
    "multi_view": MethodFacts(title="Several views only", source="control", has_views=True),
    "ema": MethodFacts(title="Mean over time only", source="control", has_mean_network=True, deployed="mean_branch_1"),
    "dml": MethodFacts(
        title="DML",
        source="Zhang et al. 2018, arXiv:1706.00384",
        has_branches=True,
        shares_trunk=False,
        ensemble="average",
    ),
    "cl_ilr": MethodFacts(
        title="CL-ILR", source="Song and Chai 2018, arXiv:1805.11761", has_branches=True, ensemble="average"
    ),
    "one": MethodFacts(
        title="ONE",
        source="Lan et al. 2018, arXiv:1806.04606",
        has_branches=True,
        head="gated",
        ramps_up=True,
        ensemble="head",
    ),
    "ffl_s": MethodFacts(
        title="FFL-S",
        source="Kim et al. 2019, arXiv:1904.09058",
        has_branches=True,
        head="fused",
        ramps_up=True,
        ensemble="head",
    ),
    "okddip": MethodFacts(
        title="OKDDip",
        source="Chen et al. 2020, arXiv:1912.00350",
        has_branches=True,
        head="attention",
        ramps_up=True,
        deployed="leader",
        ensemble="average",
    ),
    "kdcl": MethodFacts(
        title="KDCL",
        source="Guo et al. 2020, CVPR",
        has_branches=True,
        shares_trunk=False,
        has_views=True,
        ensemble="average",
    ),
    "pcl": _PCL,
    "pcl_single_view": _PCL._replace(title="PCL, one view for all branches", source="ablation", has_views=False),
    "pcl_no_ensemble": _PCL._replace(
        title="PCL without the ensemble teacher", source="ablation", head=None, ensemble="mean_average"
    ),
    "pcl_no_mean": _PCL._replace(
        title="PCL without the mean teachers",
        source="ablation",
        has_mean_network=False,
        deployed="branch_1",
        ensemble="head",
    ),
}


def deployed_predictor(method: Method, *, num_branches: int) -> str:
    """Return the name of the predictor that is deployed as the method's result. The leader is named as a branch."""
    deployed = METHODS[method].deployed
    return f"branch_{num_branches}" if deployed == "leader" else deployed
