"""The price of an experiment on a cluster: the time that this machine has measured, at the operator's prices."""

from typing import NamedTuple

from peerkd.config.cluster import ClusterConfig, amount
from peerkd.config.prices import SECONDS_PER_HOUR
from peerkd.device_kinds import DEVICE_KINDS


class ForecastPrice(NamedTuple):
    """The hours of a cluster's workers and GPUs that an experiment takes, and their price."""

    worker_hours: float
    gpu_hours: float
    money: float
    """The price, in the operator's currency."""


def forecast_price(seconds: float, *, device: str, settings: ClusterConfig) -> ForecastPrice | None:
    """Return the price of work on a cluster whose cores, or GPUs, are as fast as those of this machine.

    A worker with GPUs is taken to train on all of them, and another worker on all its CPUs, without pauses. The number
    of workers then makes no difference.

    Args:
        seconds: The time of the work on one core or one GPU of this machine.
        device: The kind of device on which the time was measured, a key of ``DEVICE_KINDS``.
        settings: The settings of the jobs on the cluster.

    Returns:
        The price. None if the operator has set none, or if the workers have GPUs and the time was measured on a core.
    """
    if DEVICE_KINDS[device].noun != "core":
        gpu_seconds, worker_seconds = seconds, seconds / max(1, settings.gpus_per_worker)
    elif settings.gpus_per_worker:
        return None
    else:
        gpu_seconds, worker_seconds = 0.0, seconds / amount(settings.cpu_per_worker)
    money = settings.prices.cost(worker_seconds=worker_seconds, gpu_seconds=gpu_seconds)
    if money is None:
        return None
    return ForecastPrice(worker_seconds / SECONDS_PER_HOUR, gpu_seconds / SECONDS_PER_HOUR, money)
