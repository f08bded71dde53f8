"""Conversion of pixels of more than 8 bits to 8 bits."""

import numpy as np
import numpy.typing as npt


def scale_to_uint8(values: np.ndarray, low: float, high: float) -> npt.NDArray[np.uint8]:
    """Map the range from ``low`` to ``high`` linearly to 0..255 and round; values outside it become 0 or 255."""
    scaled = np.rint((values.astype(np.float64, copy=False) - low) * (255 / (high - low)))
    levels: npt.NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    return levels
