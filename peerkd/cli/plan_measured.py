"""What ``peerkd plan`` measures: the speed of this machine, and the duration of a run that follows from it."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peerkd.cli.plan_lines import line
from peerkd.cli.plan_price import ForecastPrice, forecast_price, why_unknown
from peerkd.config.architectures import network_modules
from peerkd.config.cluster import resolve_cluster
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import ComputeConfig
from peerkd.device_kinds import DEVICE_KINDS
from peerkd.training.forecast import Forecast, PartitionSizes, process_seconds
from peerkd.training.forecast_rounds import RoundsForecast, recipe_to_measure, rounds_seconds
from peerkd.training.forecast_study import StudyForecast, study_seconds
from peerkd.wording import format_duration


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """A measurement to make on this machine, and the computation of the duration of a run from its results."""

    start: str
    """The name of the function that measures, as ``module:function``. It is called in a process of its own."""

    config: Any
    samples: Any
    """The first two arguments of the function that ``start`` names. The third argument is the device."""

    tasks: Mapping[str, Hashable]
    """The tasks of the measurement, by title. The result of a task is a named tuple with the seconds that a sample
    takes in each kind of work."""

    preload: Sequence[str]
    """The modules that the process needs."""

    compute: ComputeConfig
    num_processes_of_training: int = 1

    seconds_of: Callable[[Mapping[Any, Any]], float]
    """A function that returns the seconds of a run in one process, given the result of each task."""

    limit_parallel: Callable[[int], int] = lambda num: num
    """A function that returns how many processes train at the same time, given how many can run on this machine at
    once."""


def sweep_measurement(config: ExperimentConfig, expected: Forecast) -> Measurement:
    """Return the measurement of an experiment on pairs of peers."""
    return _of_pairs(config, expected.samples, lambda rates: process_seconds(expected, rates, config))


def rounds_measurement(config: CollaborateConfig, expected: RoundsForecast) -> Measurement:
    """Return the measurement of an experiment with rounds."""
    return _of_pairs(recipe_to_measure(config), expected.samples, lambda rates: rounds_seconds(expected, rates, config))


def study_measurement(config: PclConfig, expected: StudyForecast) -> Measurement:
    """Return the measurement of a study of methods."""
    num_processes = config.training.num_processes
    first_runs = [run for run in config.runs if run.seed == config.seed]
    return Measurement(
        start="peerkd.training.online.rates:start",
        config=config,
        samples=expected.samples,
        tasks={f"{run.architecture} by {run.method}": run for run in first_runs},
        preload=network_modules(config.architectures),
        compute=config.compute,
        num_processes_of_training=num_processes,
        seconds_of=lambda rates: study_seconds(
            expected, {(run.architecture, run.method): each for run, each in rates.items()}, config
        ),
        # Processes that share a run train all runs one after another.
        limit_parallel=lambda num: num_processes if num_processes > 1 else min(num, expected.num_runs),
    )


def _of_pairs(
    config: ExperimentConfig, samples: PartitionSizes, seconds_of: Callable[[Mapping[Any, Any]], float]
) -> Measurement:
    return Measurement(
        start="peerkd.training.rates:start",
        config=config,
        samples=samples,
        tasks={str(network): network for network in dict.fromkeys(config.networks)},
        preload=network_modules(config.architectures),
        compute=config.compute,
        seconds_of=seconds_of,
    )


class Measured:
    """The speed of this machine, which ``lines`` or ``to_json`` measures, and the duration and price of a run."""

    def __init__(self, measurement: Measurement) -> None:
        """Prepare the measurement.

        Raises:
            ValueError: If the settings of the cluster, which contain the prices, break a rule.
        """
        # Imported here so that the lines about the work are printed without delay.
        from peerkd.stages.machine import choose_device

        self._measurement = measurement
        self._device, num_workers = choose_device(
            measurement.compute, num_processes_of_training=measurement.num_processes_of_training
        )
        self._num_parallel = measurement.limit_parallel(num_workers)
        self._rates: dict[str, Any] = {}
        self._settings = resolve_cluster()

    def lines(self) -> Iterator[str]:
        """Measure, and yield lines with the speed and with the duration of the run."""
        noun = DEVICE_KINDS[self._device].noun
        yield f"Samples per second on one {noun}, with random images:"
        width = max(22, *(len(title) + 2 for title in self._measurement.tasks))
        for title, rates in self._measure():
            parts = zip(rates._fields, rates, strict=True)
            told = ", ".join(f"{part} {1 / seconds:,.0f}" for part, seconds in parts if seconds > 0)
            yield f"  {title:<{width}}{told}"
        yield ""
        hours = self._seconds / 3600
        yield line(
            f"hours on one {'CPU core' if noun == 'core' else noun}",
            f"{hours:,.{2 if hours >= 1 else 3}f}",
            "only trainings and evaluations",
        )
        seconds = self._seconds / self._num_parallel
        yield line("time on this machine", format_duration(seconds), f"{self._num_parallel:,} in parallel")
        if self._price:
            yield line("price on the cluster", f"{self._price.money:,.2f}", f"if each {noun} is as fast as here")
        elif reason := why_unknown(device=self._device, settings=self._settings):
            yield line("price on the cluster", "unknown", reason)

    def to_json(self) -> dict[str, Any]:
        """Measure, and return the speed and the duration of the run as JSON values."""
        rates = {title: each._asdict() for title, each in self._measure()}
        return {
            "device": self._device,
            "seconds_per_sample": rates,
            "seconds_in_one_process": self._seconds,
            "num_in_parallel": self._num_parallel,
            "seconds_on_this_machine": self._seconds / self._num_parallel,
            "price_on_cluster": self._price and self._price._asdict(),
        }

    @property
    def _seconds(self) -> float:
        tasks = self._measurement.tasks
        return self._measurement.seconds_of({tasks[title]: rates for title, rates in self._rates.items()})

    @property
    def _price(self) -> ForecastPrice | None:
        return forecast_price(self._seconds, device=self._device, settings=self._settings)

    def _measure(self) -> Iterator[tuple[str, Any]]:
        from peerkd.training.process_pool import run_in_processes

        wanted = self._measurement
        inputs = (wanted.config, wanted.samples, self._device)
        for title, rates in run_in_processes(
            wanted.start, inputs, list(wanted.tasks.items()), num_processes=1, preload=wanted.preload
        ):
            self._rates[title] = rates
            yield title, rates
