"""The weight of distillation over the first epochs."""

import math


def ramp_weight(epoch: int, *, length_epochs: int, ceiling: float) -> float:
    """Return ``ceiling * exp(-5 * (1 - epoch / length)^2)``, and ``ceiling`` from epoch ``length`` on.

    Branches know nothing in the first epochs, so what they would teach each other is noise (Laine and Aila 2017,
    arXiv:1610.02242). The only public code of PCL divides by the ceiling where the length belongs, which
    switches distillation off but for a few epochs.

    Args:
        epoch: Epochs finished before this one: 0 in the first.
        length_epochs: Epochs until the ceiling; 0 is no ramp.
        ceiling: The weight after the ramp.
    """
    if epoch >= length_epochs:
        return ceiling
    return ceiling * math.exp(-5 * (1 - epoch / length_epochs) ** 2)
