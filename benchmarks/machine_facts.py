"""The load, the software and the date, which are printed with timings."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from peerkd.stages.machine import software_versions


def load_average() -> float:
    """Return the load average: the mean number of processes that needed a core in the last minute."""
    return os.getloadavg()[0]


def closing_facts(loads: Sequence[float], *, own_load: float) -> dict[str, str]:
    """Return the load, the versions of the software and the date, by name, for the end of a table.

    Args:
        loads: Load averages before and after.
        own_load: The load average that the benchmark alone would cause.
    """
    before, after = loads
    return {
        "Load average": f"{before:.2f} before, {after:.2f} after; {own_load:.1f} is this program alone",
        "Software": ", ".join(f"{name} {version}" for name, version in software_versions().items()),
        "Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
