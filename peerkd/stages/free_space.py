"""A check that the disk of a store has enough space for a run, before anything is written."""

from collections.abc import Mapping
from typing import Final

from peerkd.artifacts.store import ArtifactStore
from peerkd.wording import format_bytes

CERTAIN_FRACTION: Final = 0.8
"""The fraction of a forecast that is certain to be written.

The sizes of real journals and tables differ from their forecasts by at most a fifth."""


def check_free_space(store: ArtifactStore, parts: Mapping[str, float]) -> None:
    """Check that the disk of the store has enough space. A store without a known limit always passes.

    Args:
        store: The store to which the run writes.
        parts: The minimum number of bytes that the run writes, by kind of file.

    Raises:
        ValueError: If the space is not enough. The message gives the space needed and the free space.
    """
    free_bytes = store.free_bytes()
    needed_bytes = sum(parts.values())
    if free_bytes is None or needed_bytes <= free_bytes:
        return
    listed = ", ".join(f"{name} {format_bytes(round(value))}" for name, value in parts.items() if value)
    raise ValueError(
        f"output must be on a disk with enough space, and its disk is too full: this run writes at least "
        f"{format_bytes(round(needed_bytes))} ({listed}), and {format_bytes(free_bytes)} are free. "
        "Free some space, or choose a folder on another disk."
    )
