"""The definition of a finite training, which all engines share. A training that is not finite has diverged.

A training is finite if these are finite numbers at its end:

- every parameter and buffer of its network, and of the network's mean over time if the method has one;
- every momentum, from which a further step would start, and every number of the state of a temperature that the loss
  sets itself;
- every loss that is reported for its last epoch;
- every logit on the samples that the network is evaluated on.

Integers, such as the counters of batch normalisation, are always finite. A NaN in a loss reaches every weight with the
next step, and a weight that is not finite stays so. No later step can repair a diverged training.

Shape suffixes: N = samples, K = classes; leading dimensions are kept.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from peerkd.results.outcome import NO_ANSWER

_Indices = npt.NDArray[np.int64]


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether all numbers in some tensors on one device are finite. The call waits for the device."""
    flags = [torch.isfinite(tensor).all() for tensor in tensors if tensor.is_floating_point()]
    return bool(torch.stack(flags).all()) if flags else True


def losses_are_finite(losses: Iterable[float | None]) -> bool:
    """Return whether every loss is a finite number. None stands for a loss that was not finite."""
    return all(loss is not None and math.isfinite(loss) for loss in losses)


def predicted_classes(logits_NK: Tensor) -> Tensor:
    """Return the class with the highest logit for each sample, or ``NO_ANSWER`` if one of its logits is not finite."""
    # argmax returns the index of the first NaN. Without this rule a diverged network would always predict class 0.
    return logits_NK.argmax(dim=-1).where(logits_NK.isfinite().all(dim=-1), NO_ANSWER)


def all_answered(predictions: Mapping[str, _Indices]) -> bool:
    """Return whether a network predicts a class for every sample, given its predictions by split."""
    return all(bool((each_N != NO_ANSWER).all()) for each_N in predictions.values())


def check_peer_logits(peer: int, *, is_finite: bool) -> None:
    """Raise an error if the logits of a pre-trained peer are not all finite.

    Raises:
        ValueError: If a logit is not finite. The weights are finite, so the precision of distillation is too low for
            them.
    """
    if not is_finite:
        raise ValueError(
            f"Every logit of a peer must be finite before distillation, got NaN or infinite logits of peer {peer}. Set "
            "distill.precision=float32, or lower pretrain.learning_rate."
        )
