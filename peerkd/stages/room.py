"""Whether the disk of a store has room for what a run is going to write there: asked before anything is written."""

from collections.abc import Mapping
from typing import Final

from peerkd.artifacts.store import ArtifactStore
from peerkd.excerpt import format_bytes

CERTAIN_FRACTION: Final = 0.8
"""Of an estimate: real journals and tables lie within a fifth of what is forecast."""


def check_room(store: ArtifactStore, parts: Mapping[str, float]) -> None:
    """Do nothing if a store's disk has room, or has no end that is known.

    Args:
        store: Takes what is written.
        parts: The least that is written, in bytes, by what it is.

    Raises:
        ValueError: If it has not; the message has both numbers.
    """
    free_bytes = store.free_bytes()
    needed_bytes = sum(parts.values())
    if free_bytes is None or needed_bytes <= free_bytes:
        return
    listed = ", ".join(f"{name} {format_bytes(round(value))}" for name, value in parts.items() if value)
    raise ValueError(
        f"output has no space left for this run: it writes {format_bytes(round(needed_bytes))} at least ({listed}), "
        f"and {format_bytes(free_bytes)} are free. Make room, or choose a folder on another disk."
    )
