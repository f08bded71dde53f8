"""What machines cost by the hour. An operator says it; nothing follows from it but a line in reports and metrics."""

from dataclasses import dataclass
from typing import Final

SECONDS_PER_HOUR: Final = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """What an hour costs, in whatever currency. None: nothing is known of it."""

    gpu_hour: float | None = None
    worker_hour: float | None = None
    """Price of a worker's CPUs and memory, besides its GPUs."""

    def cost(self, *, worker_seconds: float, gpu_seconds: float) -> float | None:
        """Return what that long costs; None without prices."""
        priced = ((worker_seconds, self.worker_hour), (gpu_seconds, self.gpu_hour))
        known = [seconds / SECONDS_PER_HOUR * price for seconds, price in priced if price is not None]
        return sum(known) if known else None
