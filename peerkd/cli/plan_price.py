"""The price of an experiment on a cluster: the time that this machine has measured, at the operator's prices."""

from typing import NamedTuple

from peerkd.config.cluster import ClusterConfig, amount
from peerkd.config.prices import SECONDS_PER_HOUR, Prices
from peerkd.device_kinds import DEVICE_KINDS


class ForecastPrice(NamedTuple):
    """The hours of a cluster's workers and GPUs that an experiment takes, and their price."""

    worker_hours: float
    gpu_hours: float
    money: float
    """The price, in the operator's currency."""


def why_unknown(*, device: str, settings: ClusterConfig) -> str:
    """Return why this machine cannot forecast a price although the operator has set prices. Empty if it can.

    Args:
        device: The kind of device on which the time is measured, a key of ``DEVICE_KINDS``.
        settings: The settings of the jobs on the cluster.
    """
    is_on_core = DEVICE_KINDS[device].noun == "core"
    if settings.prices == Prices():
        return ""
    if settings.gpus_per_worker and is_on_core:
        return "its workers have GPUs, and this machine has none to measure"
    if not settings.gpus_per_worker and not is_on_core:
        return "its workers have no GPUs: measure with --set compute.device=cpu"
    if not settings.gpus_per_worker and settings.prices.worker_hour is None:
        return "its workers have no GPUs, and only the price of GPUs is set"
    return ""


def forecast_price(seconds: float, *, device: str, settings: ClusterConfig) -> ForecastPrice | None:
    """Return the price of work on a cluster whose cores, or GPUs, are as fast as those of this machine.

    A worker with GPUs is taken to train on all of them, and another worker on all its CPUs, without pauses. The number
    of workers then makes no difference.

    Args:
        seconds: The time of the work on one core or one GPU of this machine.
        device: The kind of device on which the time was measured, a key of ``DEVICE_KINDS``.
        settings: The settings of the jobs on the cluster.

    Returns:
        The price. None if the operator has set none, or for a reason that ``why_unknown`` returns.
    """
    if why_unknown(device=device, settings=settings):
        return None
    num_gpus = settings.gpus_per_worker
    gpu_seconds = seconds if num_gpus else 0.0
    worker_seconds = seconds / (num_gpus or amount(settings.cpu_per_worker))
    money = settings.prices.cost(worker_seconds=worker_seconds, gpu_seconds=gpu_seconds)
    if money is None:
        return None
    return ForecastPrice(worker_seconds / SECONDS_PER_HOUR, gpu_seconds / SECONDS_PER_HOUR, money)
