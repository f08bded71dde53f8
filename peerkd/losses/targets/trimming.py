"""Weights with which a weighted mean of predictions becomes a weighted trimmed mean.

One peer can change a weighted mean without a bound. A trimmed mean limits this: the lowest and the highest predictions
for a class are left out, up to a fraction of the sum of all weights at either end.

Shape suffixes: P = peers, B = samples, K = classes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def trimmed_weights(
    weights: "Sequence[Tensor]", predictions_BK: "Sequence[Tensor]", *, fraction: float
) -> "list[Tensor]":
    """Return the weights of the predictions after trimming, of shape (B, K).

    Consider one sample and one class. Let w_i be the weight of peer i and W the sum of all weights. The peers are
    placed on a line of length W in the ascending order of their predictions, each as a segment of length w_i. The
    parts of the segments outside of ``[fraction W, (1 - fraction) W]`` are cut off. The rest is divided by
    ``1 - 2 fraction``, so that the sum of the weights is W as before.

    Peers whose weights sum to at most ``fraction W`` cannot move the mean out of the range of the predictions of the
    other peers: if they are all above this range, the upper part that is cut off contains all of them, and if they are
    all below, the lower part does.

    With equal weights and a whole number ``fraction P``, the mean is the trimmed mean of Yin et al. 2018,
    arXiv:1803.01498, definition 2.

    Args:
        weights: The weight of each prediction, at least 0. They broadcast to ``BK``, and for each sample and class one
            of them is above 0.
        predictions_BK: The predictions of each peer, or increasing functions of them such as logarithms.
        fraction: The fraction that is cut off at either end, at least 0 and below 0.5.

    Raises:
        ValueError: If the fraction is outside of this range.
    """
    if not 0 <= fraction < 0.5:
        raise ValueError(f"fraction must be at least 0 and below 0.5, got {fraction}.")
    first = predictions_BK[0]
    predictions_PBK, weights_PBK = (first.new_empty((len(weights), *first.shape)) for _ in range(2))
    for index, (prediction_BK, weight) in enumerate(zip(predictions_BK, weights, strict=True)):
        predictions_PBK[index], weights_PBK[index] = prediction_BK, weight
    order_PBK = predictions_PBK.argsort(dim=0, stable=True)
    sorted_PBK = weights_PBK.gather(0, order_PBK)
    ends_PBK = sorted_PBK.cumsum(0)
    # The last end, and not the sum, so that rounding leaves nothing beyond the end of the line.
    total_BK = ends_PBK[-1]
    low_BK, high_BK = fraction * total_BK, (1 - fraction) * total_BK
    kept_PBK = (ends_PBK.minimum(high_BK) - (ends_PBK - sorted_PBK).maximum(low_BK)).clamp(min=0) / (1 - 2 * fraction)
    return list(kept_PBK.new_empty(kept_PBK.shape).scatter_(0, order_PBK, kept_PBK))
