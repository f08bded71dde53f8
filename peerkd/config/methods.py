"""The methods that one network, or several, can be trained by: what each is made of. No torch.

All are *online*: there is no teacher trained before. What teaches is made of the branches, or of their means over
time. The losses are in ``peerkd.losses.online``.
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
"""What joins the branches. joined: a classifier on all features. gated: logits weighed by a gate on the trunk.
attention: targets weighed for each branch. fused: convolutions on the last feature maps of all."""


class MethodFacts(NamedTuple):
    """What a method is made of."""

    title: str
    source: str

    has_branches: bool = False
    """Several branches, as many as configured; otherwise one."""

    shares_trunk: bool = True
    """Branches leave one trunk at the branch point; otherwise each is a whole network."""

    has_views: bool = False
    """A view of its own for each branch; with one branch, that many views of every sample. Otherwise one view."""

    head: Head | None = None
    has_mean_network: bool = False
    """The mean over time of the whole network is kept beside it."""

    ramps_up: bool = False
    """The weight of the distillation rises over the first epochs."""

    deployed: str = "branch_1"
    """The predictor that is the method's result; ``leader`` is the last branch."""

    ensemble: str | None = None
    """The predictor that joins the branches, if the method deploys one."""


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
    """Return the predictor that is the method's result, ``leader`` resolved."""
    deployed = METHODS[method].deployed
    return f"branch_{num_branches}" if deployed == "leader" else deployed
