"""The grid of settings that several sweeps have in common. An experience is learned for the points of this grid.

Shape suffixes: N = combinations, W = weights, T = temperatures.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from benchmarks.tuning.replay import Replay
from peerkd.study.grid import computed_loss
from peerkd.tuning.experience_grid import Combination, ExperienceGrid, combination_of
from peerkd.tuning.space import Space

Point: TypeAlias = tuple[str, str, str, float, float]
"""Transfer set, loss, target, weight and temperature of a setting."""

_LEAST_SWEEPS = 2
"""The minimum number of sweeps with a point. The residuals of one sweep at a point are computed with a fit to other
sweeps, which must have the point, too."""


def common_grid(replays: Sequence[Replay]) -> ExperienceGrid:
    """Return the grid with all points that at least two sweeps have.

    Raises:
        ValueError: If a sweep has several learning rates, or no two sweeps have a setting in common.
    """
    for replay in replays:
        if len({each.learning_rate for each in replay.space.settings}) > 1:
            raise ValueError(f"All tables must have one learning rate, got several in {replay.name}.")
    counts = Counter(point for replay in replays for point in places_on_grid(replay.space))
    known = {point for point, count in counts.items() if count >= _LEAST_SWEEPS}
    # In the order of the first table, so that a grid of all of its settings has its order.
    combinations = [
        each
        for each in dict.fromkeys(
            combination_of(setting, replay.space) for replay in replays for setting in replay.space.settings
        )
        if any(_is_of(each, point) for point in known)
    ]
    weights = sorted({weight for _, _, _, weight, _ in known})
    temperatures = sorted({temperature for _, _, _, _, temperature in known})
    if not combinations:
        raise ValueError(f"At least two tables must have a setting in common, got {len(replays)} without any.")
    is_known_NWT = np.array(
        [
            [[computed(each, weight, temperature) in known for temperature in temperatures] for weight in weights]
            for each in combinations
        ]
    )
    # The untuned default may lie outside of the weights and temperatures that are crossed with one another.
    num_NW = is_known_NWT.sum(axis=2)
    has_weight_NW = num_NW == num_NW.max(axis=1, keepdims=True)
    has_temperature_NT = (is_known_NWT | ~has_weight_NW[:, :, None]).all(axis=1)
    return ExperienceGrid(
        combinations=tuple(combinations),
        weights=np.array(weights),
        temperatures=np.array(temperatures),
        epoch_shares=np.arange(1, replays[0].space.num_epochs + 1) / replays[0].space.num_epochs,
        has_weight_NW=has_weight_NW,
        has_temperature_NT=has_temperature_NT,
    )


def places_on_grid(space: Space) -> dict[Point, int]:
    """Return the place of each setting of a space by its point."""
    return {
        computed(combination_of(setting, space), setting.distillation_weight, setting.temperature): place
        for place, setting in enumerate(space.settings)
    }


def computed(combination: Combination, weight: float, temperature: float) -> Point:
    """Return the point of a setting. Settings that are the same computation have the same point."""
    name, loss, target = combination
    return name, computed_loss(loss, temperature) or loss, target, weight, temperature


def _is_of(combination: Combination, point: Point) -> bool:
    _, _, _, weight, temperature = point
    return computed(combination, weight, temperature) == point
