"""The predictions that a lying peer sends in place of the predictions of its network.

Shape suffixes: B = samples, K = classes.
"""

from typing import Final

import numpy as np
import torch

from peerkd.config.unreliable import UnreliableConfig
from peerkd.losses.targets.target import Prediction

_CONFIDENT_LOGIT: Final = 10.0
"""The logit of the class of a constant prediction; all others are 0. With 10 classes, its probability is 0.9996."""

_RANDOM_DEVIATION: Final = 5.0
"""The standard deviation of random logits. With 10 classes, the largest probability is 0.8 on average."""


def told(prediction: Prediction, lie: UnreliableConfig, *, rng: np.random.Generator) -> Prediction:
    """Return the prediction and the class counts that a lying peer sends.

    Args:
        prediction: The prediction of the peer's network, and the peer's true numbers of training samples.
        lie: The lie. A constant prediction is a class of the data set.
        rng: The source of random predictions.

    Raises:
        ValueError: If the kind is ``absent``, because an absent peer sends nothing.
    """
    logits_BK = prediction.logits_BK
    match lie.kind:
        case "flipped_labels":
            return Prediction(logits_BK.flip(-1), prediction.counts_K.flip(-1))
        case "random_predictions":
            drawn_BK = torch.from_numpy(rng.normal(0, _RANDOM_DEVIATION, logits_BK.shape))
            # The type is changed first, because not all devices have float64.
            return prediction._replace(logits_BK=drawn_BK.to(logits_BK.dtype).to(logits_BK.device))
        case "constant_prediction":
            constant_BK = torch.zeros_like(logits_BK)
            constant_BK[:, lie.predicted_class] = _CONFIDENT_LOGIT
            return prediction._replace(logits_BK=constant_BK)
        case "absent":
            raise ValueError("lie must be about predictions, got an absence.")
