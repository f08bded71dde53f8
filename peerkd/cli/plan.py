"""``peerkd plan``: a forecast of the size and the duration of an experiment."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import typer

from peerkd.artifacts.open import S3_SCHEME, open_store
from peerkd.artifacts.store import ArtifactStore
from peerkd.cli.options import Experiment, StorePlace
from peerkd.cli.plan_lines import peer_lines, rounds_lines, study_lines, sweep_lines
from peerkd.cli.plan_measured import Measured, Measurement, rounds_measurement, study_measurement, sweep_measurement
from peerkd.cli.wrapping import say
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.given_peers import STORE_SCHEME
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.pipelines import Pipeline
from peerkd.config.strict import StrictConfig
from peerkd.config.tuning import check_grid, check_strategy
from peerkd.metrics.tracking.sinks import check_sinks
from peerkd.stages.planning import PlannedPeer, prepare, prepare_study
from peerkd.training.forecast import Forecast, dataset_bytes, forecast, peer_bytes, tuned
from peerkd.training.forecast_rounds import RoundsForecast, forecast_rounds
from peerkd.training.forecast_study import StudyForecast, forecast_study


class _Planned(NamedTuple):
    """The work of an experiment that a run would accept."""

    data_lines: Sequence[str]
    """The lines that a run would print about its data."""

    work_lines: Iterator[str]
    expected: Forecast | RoundsForecast | StudyForecast
    measurement: Measurement
    peers: Sequence[PlannedPeer] = ()
    """The peers; empty for a study of methods."""


def plan(
    pipeline: Pipeline[StrictConfig],
    experiment: Experiment,
    place: StorePlace,
    *,
    measure: bool | None = False,
    strategy: str | None = None,
    as_json: bool = False,
) -> None:
    """Print the work of an experiment and, after a few seconds of measuring, its duration on this machine.

    The data set is read and divided by the same functions as in a run, so a plan accepts what a run accepts.

    Args:
        pipeline: The pipeline of the experiment.
        experiment: The options that describe the experiment.
        place: The options that name the store of the run. If none is given, the store is read only if it contains the
            data of a peer.
        measure: Whether to measure. None: measure if torch is installed.
        strategy: How settings are chosen; None for a pipeline without that choice.
        as_json: Print the plan as JSON instead of text.

    Raises:
        ValueError: If the config breaks a rule, the data set does not fit it, or torch is needed but not installed.
        DataSourceError: If the data set is missing or damaged.
    """
    if strategy is not None:
        check_strategy(strategy, experiment.override or [])
    config = experiment.load(pipeline)
    has_torch = find_spec("torch") is not None
    if measure and not has_torch:
        raise ValueError("measure must be false if torch is not installed, got true.")
    assert isinstance(config, PeerExperimentConfig | PclConfig)
    # The store may have no folder yet; what a run with a store in S3 also needs is known only when it begins.
    check_sinks(config.compute.tracking, folder=Path())
    planned = _plan_study(config) if isinstance(config, PclConfig) else _plan_peers(config, place, strategy=strategy)
    is_measured = has_torch if measure is None else measure
    if as_json:
        facts = {
            "pipeline": pipeline.name,
            "strategy": strategy,
            "data": list(planned.data_lines),
            "peers": _plain(planned.peers),
            "num_seeds": config.num_seeds,
            "work": _plain(planned.expected),
            "measured": Measured(planned.measurement).to_json() if is_measured else None,
        }
        typer.echo(json.dumps(facts, indent=2, allow_nan=False))
        return
    about_data = [*planned.data_lines, ""] if planned.data_lines else []
    for each in (*about_data, *peer_lines(planned.peers), *planned.work_lines):
        say(each)
    if is_measured:
        typer.echo("")
        for each in Measured(planned.measurement).lines():
            say(each)


def bytes_to_write(config: StrictConfig, place: StorePlace) -> int:
    """Check the data as the first task of a run does, and return the approximate number of bytes that the run writes.

    Raises:
        ValueError: If the data set does not fit the config.
        DataSourceError: If the data set is missing or damaged.
    """
    if isinstance(config, PclConfig):
        of_study = forecast_study(config, prepare_study(config).samples)
        return of_study.dataset_bytes + of_study.networks_bytes
    assert isinstance(config, PeerExperimentConfig)
    _, _, samples, given_bytes = prepare(config, _open_store(config, place))
    if isinstance(config, ExperimentConfig):
        expected = forecast(config, samples, given_bytes=given_bytes)
        # The records in the journals are copied while the table is built.
        written = expected.dataset_bytes + 2 * expected.weights_bytes
        return written + 2 * expected.journals_bytes + expected.table_bytes
    return dataset_bytes(config, samples) + 2 * sum(peer_bytes(config, samples, given_bytes=given_bytes))


def _plan_study(config: PclConfig) -> _Planned:
    prepared = prepare_study(config)
    expected = forecast_study(config, prepared.samples)
    return _Planned(prepared.data_lines, study_lines(config, expected), expected, study_measurement(config, expected))


def _plan_peers(config: PeerExperimentConfig, place: StorePlace, *, strategy: str | None) -> _Planned:
    if isinstance(config, ExperimentConfig) and strategy is not None:
        check_grid(config.sweep, strategy)
    about_data, peers, samples, given_bytes = prepare(config, _open_store(config, place))
    if isinstance(config, CollaborateConfig):
        of_rounds = forecast_rounds(config, samples, given_bytes=given_bytes)
        return _Planned(
            about_data, rounds_lines(config, of_rounds), of_rounds, rounds_measurement(config, of_rounds), peers
        )
    assert isinstance(config, ExperimentConfig)
    expected = forecast(config, samples, given_bytes=given_bytes)
    is_store_remote = (place.store or "").startswith(S3_SCHEME)
    work_lines = sweep_lines(config, expected, given_bytes, strategy=strategy, is_store_remote=is_store_remote)
    if strategy == "tune":
        expected = tuned(expected, config)
    return _Planned(about_data, work_lines, expected, sweep_measurement(config, expected), peers)


def _open_store(config: PeerExperimentConfig, place: StorePlace) -> ArtifactStore | None:
    """Return the store of the run. Return None if no option names a store and no peer has its data in the store."""
    needs_store = any(peer.data is not None and peer.data.startswith(STORE_SCHEME) for peer in config.peers.given)
    return open_store(place.address) if needs_store or place != StorePlace() else None


def _plain(value: Any) -> Any:
    """Return a forecast as JSON values: dataclasses and named tuples as objects."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
