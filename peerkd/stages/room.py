"""The check that the disk of a store has room for what a run will write, made before anything is written."""

from collections.abc import Mapping
from typing import Final

from peerkd.artifacts.store import ArtifactStore
from peerkd.wording import format_bytes

CERTAIN_FRACTION: Final = 0.8
"""The part of an estimate that is certainly written: real journals and tables are within a fifth of the forecast."""


def check_room(store: ArtifactStore, parts: Mapping[str, float]) -> None:
    """Refuse a run for which the disk of the store has no room; a store without a known limit has room.

    Args:
        store: The store that is written to.
        parts: The least that is written, in bytes, by kind of file.

    Raises:
        ValueError: If the disk has no room; the message gives the space needed and the free space.
    """
    free_bytes = store.free_bytes()
    needed_bytes = sum(parts.values())
    if free_bytes is None or needed_bytes <= free_bytes:
        return
    listed = ", ".join(f"{name} {format_bytes(round(value))}" for name, value in parts.items() if value)
    raise ValueError(
        f"output has no space left for this run: it writes at least {format_bytes(round(needed_bytes))} ({listed}), "
        f"and {format_bytes(free_bytes)} are free. Make room, or choose a folder on another disk."
    )
