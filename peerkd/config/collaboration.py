"""How the branches of a network teach each other: what PCL and its rivals are set by."""

from typing import Literal

from pydantic import Field

from peerkd.config.strict import StrictConfig


class CollaborationConfig(StrictConfig):
    """The branches, and the weights of what they learn from each other. A method reads the fields that concern it.

    The defaults are those of PCL (Wu and Gong 2021) as published, for a training of 300 epochs.
    """

    num_branches: int = Field(default=3, ge=2, le=100)
    """Branches of a network, or whole networks where a method shares no trunk (dml, kdcl). OKDDip's last branch is
    its leader, so that 3 are two auxiliary branches and a leader. The work of a step grows with the number."""

    branch_point: str | None = None
    """The first block that each branch has for itself, as in stage3; all before it is the shared trunk. Null: the
    architecture's own, as in the published tables (its last stage)."""

    temperature: float = Field(default=3.0, gt=0)
    """T, by which the logits of both sides of a divergence are divided; the divergence is multiplied by T^2."""

    distillation_weight: float = Field(default=1.0, ge=0)
    """Lambda: what everything distilled is multiplied by, once the ramp has ended. 0: no distillation."""

    rampup_epochs: int = Field(default=80, ge=0, le=1_000_000)
    """Epochs over which the weight rises along exp(-5 (1 - e/length)^2), for the methods that ramp up. Scale it with
    the epochs: a training that is shorter than its ramp hardly distils. 0: the full weight from the start."""

    mean_decay: float = Field(default=0.999, ge=0, lt=1)
    """Share of the mean network that outlives one step; the first steps g are bounded by 1 - 1/g. 0: a copy."""

    mean_batch_norm: Literal["batch", "averaged", "copied"] = "batch"
    """What the mean network's batch normalisation goes by; the paper is silent.

    batch: the batch that it sees, with running statistics of its own for evaluation, as the only public code does.
    averaged: evaluation mode, with running statistics averaged like the weights. copied: evaluation mode, with those
    of the trained network.
    """

    view_batch_norm: Literal["separate", "joined"] = "separate"
    """How the views of a step pass what they share; the paper is silent.

    separate: one pass a view, statistics of each view apart, as many updates a step as there are views, as the only
    public code does. joined: as one batch; statistics are those of all views and are updated once a step. It has fewer
    and larger operations, which need more memory.
    """

    kdcl_ensemble: Literal["min_logit", "naive", "mean"] = "min_logit"
    """How KDCL makes its teacher.

    min_logit: the smallest of the networks' logits, each less that of the true class; it needs no search and no data
    of its own. naive: for each sample, the network with the smallest cross entropy. mean: the mean of the logits.
    """

    cross_entropy_weight: float = Field(default=0.5, gt=0, le=1)
    """CL-ILR's beta: the weight of the cross entropy; the divergence has the rest. 1: no distillation."""
