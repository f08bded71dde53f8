"""The hourly prices of machines, which an operator sets. They are used only in reports and metrics."""

from dataclasses import dataclass
from typing import Final

SECONDS_PER_HOUR: Final = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """The hourly prices of workers and GPUs, in any currency. None: the price is unknown."""

    gpu_hour: float | None = None
    """The price of one GPU for an hour."""

    worker_hour: float | None = None
    """The price of one worker's CPUs and memory for an hour, without its GPUs."""

    def cost(self, *, worker_seconds: float, gpu_seconds: float) -> float | None:
        """Return the cost of workers and GPUs for these times, or None if no price is known.

        If only one of the two prices is known, the cost covers only the workers or only the GPUs.
        """
        priced = ((worker_seconds, self.worker_hour), (gpu_seconds, self.gpu_hour))
        known = [seconds / SECONDS_PER_HOUR * price for seconds, price in priced if price is not None]
        return sum(known) if known else None
