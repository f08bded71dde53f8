"""Grids for tests; by default that of the digits preset."""

from typing import Any

from peerkd.study.grid import Grid


def grid(**changes: Any) -> Grid:
    values: dict[str, Any] = {
        "transfer_sets": ("student", "teacher", "both"),
        "temperatures": (1.0, 2.0, 4.0, 8.0),
        "alphas": (0.1, 0.3, 0.5, 0.7, 0.9),
    }
    return Grid(**{**values, **changes})
