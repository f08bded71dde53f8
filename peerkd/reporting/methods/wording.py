"""Accuracies and their differences as text, in percent with two digits, as in publications."""

import math
from typing import Final

from peerkd.config.collaboration import CollaborationConfig
from peerkd.results.intervals import Estimate
from peerkd.results.seeds import MIN_SEEDS, Spread

MEAN_BATCH_NORM_MEANINGS: Final = {
    "batch": "normalises by the statistics of the batch in training, and by its own running statistics in evaluation",
    "averaged": "normalises by running statistics that are averaged like the weights",
    "copied": "normalises by the running statistics of the trained network",
}

VIEW_BATCH_NORM_MEANINGS: Final = {
    "joined": "pass the shared trunk as one batch: statistics cover all views and are updated once per step",
    "separate": "pass the shared trunk one after the other: statistics cover one view and are updated once per view",
}


def accuracy(fraction: float) -> str:
    """Return an accuracy in percent: 0.94326 is 94.33."""
    return "n/a" if math.isnan(fraction) else f"{100 * fraction:.2f}"


def spread(found: Spread) -> str:
    """Return mean and standard deviation over seeds in percent, in ASCII.

    With one seed, the text has the mean alone. If the runs of all seeds diverged, the text says so.
    """
    if not found.num:
        return "diverged"
    if math.isnan(found.standard_deviation):
        return accuracy(found.mean)
    return f"{accuracy(found.mean)} +- {accuracy(found.standard_deviation)}"


def points(fraction: float) -> str:
    """Return a difference of accuracies in points with its sign: 0.01234 is +1.23."""
    if math.isnan(fraction):
        return "n/a"
    rounded = round(100 * fraction, 2)
    return f"{rounded:+.2f}" if rounded else "0.00"


def interval(estimate: Estimate) -> str:
    """Return the 95 % interval of a difference in points, or the reason for its absence.

    The text is empty if there are too few seeds, which reports say once.
    """
    if estimate.has_interval:
        return f"{points(estimate.low)} to {points(estimate.high)}"
    return "the same for all seeds" if estimate.num >= MIN_SEEDS else ""


def estimate(found: Estimate) -> str:
    """Return a difference with its interval, if it has one."""
    text = interval(found)
    return points(found.value) + (f" ({text})" if text else "")


def conventions(collaboration: CollaborationConfig) -> list[str]:
    """Return a sentence for each convention on which the meaning of the numbers depends."""
    weight, length = collaboration.distillation_weight, collaboration.rampup_epochs
    ramp = (
        f"w(e) = {weight:g} exp(-5 (1 - e/{length})^2) for the epochs e = 0, 1, ... before {length}, "
        f"and {weight:g} after"
        if length
        else f"w = {weight:g} from the start, without a ramp"
    )
    return [
        "The result of a run is the test accuracy of the deployed predictor after the last epoch. Neither the epoch "
        "nor the branch is selected by an accuracy.",
        f"Networks have m = {collaboration.num_branches} branches, which leave the trunk at "
        f"{collaboration.branch_point or 'the last stage of the architecture'}. With DML and KDCL, each branch is a "
        "whole network.",
        "Every divergence is T^2 KL(softmax(teacher/T) || softmax(student/T)) with T = "
        f"{collaboration.temperature:g}, averaged over the batch and summed over branches. No gradient flows into "
        "the teacher, except for the attention that OKDDip learns.",
        f"Methods with a ramp multiply the distillation terms by {ramp}. The others use {weight:g} throughout.",
        f"A mean network takes the mean of all weights over steps, decay {collaboration.mean_decay:g} (at step g at "
        f"most 1 - 1/g). It {MEAN_BATCH_NORM_MEANINGS[collaboration.mean_batch_norm]}.",
        f"Several views of a step {VIEW_BATCH_NORM_MEANINGS[collaboration.view_batch_norm]}.",
        "The ensemble of DML, CL-ILR, OKDDip, KDCL and PCL without the ensemble teacher is the mean of the branches' "
        "probabilities; that of ONE, FFL-S and PCL is the classifier or gate that joins the branches.",
        f"KDCL builds its teacher with {collaboration.kdcl_ensemble}. CL-ILR multiplies its cross entropy by "
        f"{collaboration.cross_entropy_weight:g}.",
    ]
