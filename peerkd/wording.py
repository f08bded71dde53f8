"""Numbers in sentences: counts with their nouns, and sizes and times in readable units."""

from typing import Final

_KIBIBYTE: Final = 1024
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def plural(num: int, noun: str, nouns: str = "") -> str:
    """Return a number with its noun, in the singular or the plural.

    Args:
        num: A number of at least 0.
        noun: The noun in the singular.
        nouns: The noun in the plural. If empty, it is ``noun`` with an s.
    """
    return f"{num:,} {noun if num == 1 else nouns or noun + 's'}"


def format_bytes(num_bytes: int) -> str:
    """Return a number of bytes in a readable binary unit, such as ``1.5 KiB``."""
    value, unit = float(num_bytes), 0
    while value >= _KIBIBYTE and unit < len(_UNITS) - 1:
        value, unit = value / _KIBIBYTE, unit + 1
    return f"{value:,.0f} {_UNITS[unit]}" if unit == 0 else f"{value:,.1f} {_UNITS[unit]}"


def format_duration(seconds: float) -> str:
    """Return a time as readable text, in at most two units."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    return f"{hours} h" if hours < 48 else f"{hours // 24:,} d {hours % 24} h"


def called(peer_name: str) -> str:
    """Return what a peer is called in a sentence: its name, or ``peer 3`` if it has only a number."""
    return f"peer {peer_name}" if peer_name.isdigit() else peer_name
