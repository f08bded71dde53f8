"""The predictions of the teacher and of the student's old self. The more confident network has the larger weight.

Shape suffixes: B = samples, K = classes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from peerkd.losses.targets.target import PairTarget, Prediction

if TYPE_CHECKING:
    from torch import Tensor


def weigh(predictions: Sequence[Prediction]) -> "list[Tensor]":
    """Return the weight of each prediction, with shape (B, 1).

    A weight is ``exp(-2 H)``, where H is the entropy in nats of the prediction for a sample at T = 1.
    """
    return [_weights(each) for each in predictions]


def _weights(prediction: Prediction) -> "Tensor":
    log_p_BK = prediction.logits_BK.log_softmax(-1)
    entropy_B1 = -(log_p_BK.exp() * log_p_BK).sum(-1, keepdim=True)
    return (-2 * entropy_B1).exp()


TARGET: Final = PairTarget(
    name="entropy",
    title="teacher and old self, weighted by entropy",
    weigh=weigh,
    joins_any_number=True,
    meaning=(
        "For each sample, the teacher and the old self are weighted by the entropies of their predictions at T = 1: "
        "the lower the entropy, the larger the weight, so the more confident one counts more."
    ),
    formula="sum_i exp(-2 H(softmax(z_i))) * p_i, renormalised over the classes",
    tex=r"\frac{1}{Z} \sum_{i \in \{t, s\}} e^{-2 H(\mathrm{softmax}(z_i))} \, p_i",
    source="Kwon et al. 2020, ICASSP, for weights of teachers by entropy; the factor 2 is this project's",
)
