"""The config of online distillation: how the branches of a network teach each other."""

from typing import Literal

from pydantic import Field

from peerkd.config.strict import StrictConfig


class CollaborationConfig(StrictConfig):
    """The branches of a network, and how they teach each other. Each method reads only the fields that concern it.

    The defaults are the published values of PCL (Wu and Gong 2021) for a training of 300 epochs.
    """

    num_branches: int = Field(default=3, ge=2, le=100)
    """The number of branches of a network. The methods dml and kdcl share no trunk, and train this number of whole
    networks instead. The last branch of OKDDip is its leader, so 3 means two auxiliary branches and a leader. The work
    of a training step grows with this number."""

    branch_point: str | None = None
    """The first block of which each branch has its own copy, such as stage3. The blocks before it are the shared trunk.
    Null: the last stage of the architecture, as in the published tables."""

    temperature: float = Field(default=3.0, gt=0)
    """The temperature T. The logits on both sides of a divergence are divided by T, and the divergence is multiplied by
    T^2."""

    distillation_weight: float = Field(default=1.0, ge=0)
    """The factor lambda of all distillation terms of the loss, once the ramp-up has ended. 0: no distillation."""

    rampup_epochs: int = Field(default=80, ge=0, le=1_000_000)
    """The number of epochs over which the distillation weight rises as exp(-5 (1 - epoch / rampup_epochs)^2), for the
    methods with a ramp-up. Keep it in proportion to the epochs of the training: a training that is shorter than its
    ramp-up hardly distils. 0: the full weight from the start."""

    mean_decay: float = Field(default=0.999, ge=0, lt=1)
    """The decay of the mean network, which is the exponential moving average of the trained network's weights. After
    step g, counted from 1, the decay is min(1 - 1/g, mean_decay). 0: the mean network is a copy of the trained one."""

    mean_batch_norm: Literal["batch", "averaged", "copied"] = "batch"
    """The statistics that the batch normalisation of the mean network uses. The paper does not specify this choice.

    batch: the statistics of the current batch, as in the only public code of PCL; evaluation uses running statistics
    that the mean network collects itself. averaged: the moving average of the trained network's running statistics.
    copied: the running statistics of the trained network.
    """

    view_batch_norm: Literal["separate", "joined"] = "separate"
    """The way in which the views of a training step pass through the shared trunk. The paper does not specify this
    choice.

    separate: one pass for each view, as in the only public code of PCL. Batch normalisation uses the statistics of each
    view and updates its running statistics once for each view. joined: one pass for all views, as one batch. Batch
    normalisation uses the statistics of all views together and updates its running statistics once a step. This takes
    fewer and larger operations, which need more memory.
    """

    kdcl_ensemble: Literal["min_logit", "naive", "mean"] = "min_logit"
    """The teacher of KDCL.

    min_logit: the logit of the true class is subtracted from the logits of each network, and the teacher's logit of a
    class is the smallest of these differences among the networks. naive: the teacher of each sample is the network with
    the smallest cross entropy. mean: the teacher's logits are the mean of the networks' logits.
    """

    cross_entropy_weight: float = Field(default=0.5, gt=0, le=1)
    """The weight beta of the cross entropy in CL-ILR. The divergence has the weight 1 - beta. 1: no distillation."""
