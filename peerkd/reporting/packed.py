"""Arrays in the JSON of a page: base64 of little-endian numbers, which the script of the page unpacks."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def packed(values: ArrayLike, dtype: str) -> dict[str, str]:
    """Return an array as base64 with its type: a letter and the number of bytes of a value, such as ``f4``."""
    data = np.ascontiguousarray(values, dtype=dtype).tobytes()
    return {"type": dtype[1:], "data": base64.b64encode(data).decode()}


def unpacked(array: Mapping[str, str]) -> NDArray[Any]:
    """Return the array that ``packed`` described, as a vector."""
    return np.frombuffer(base64.b64decode(array["data"]), dtype=f"<{array['type']}")
