"""The ramp-up of the distillation weight over the first epochs."""

import math


def ramp_weight(epoch: int, *, length_epochs: int, ceiling: float) -> float:
    """Return ``ceiling * exp(-5 * (1 - epoch / length_epochs)^2)``, or ``ceiling`` from epoch ``length_epochs`` on.

    Branches know little in the first epochs, so they would teach each other noise (Laine and Aila 2017,
    arXiv:1610.02242). The only public code of PCL divides the epoch by the ceiling instead of ``length_epochs``, which
    turns the distillation off in almost all of these epochs.

    Args:
        epoch: The index of the epoch, counted from 0.
        length_epochs: The number of epochs of the ramp-up. With 0, the weight is the ceiling in all epochs.
        ceiling: The weight after the ramp-up.
    """
    if epoch >= length_epochs:
        return ceiling
    return ceiling * math.exp(-5 * (1 - epoch / length_epochs) ** 2)
