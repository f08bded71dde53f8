"""The sets that accuracies are measured on, and which accuracy a study chooses by."""

from collections.abc import Mapping
from typing import Final, Literal

SPLITS: Final = ("validation", "test")
"""The set on which settings are chosen, and the set on which what was chosen is reported."""

SCOPES: Final = ("global", "own")
"""All classes as the data set has them, and the student's own class distribution."""

Metric = Literal["global_accuracy", "own_accuracy"]
"""The accuracy by which a setting is chosen, where it is one of the two alone."""

OWN_WEIGHTS: Final[Mapping[Metric, float]] = {"global_accuracy": 0.0, "own_accuracy": 1.0}
"""The weight of own accuracy beside global accuracy in an objective that is one of the two alone."""
