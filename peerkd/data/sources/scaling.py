"""Pixels of more than 8 bits as pixels of 8 bits."""

import numpy as np
import numpy.typing as npt


def scale_to_uint8(values: np.ndarray, low: float, high: float) -> npt.NDArray[np.uint8]:
    """Map ``low`` to ``high`` linearly to 0 to 255, rounded to the nearest; values outside become 0 or 255."""
    scaled = np.rint((values.astype(np.float64, copy=False) - low) * (255 / (high - low)))
    levels: npt.NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    return levels
