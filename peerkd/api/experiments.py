"""Experiments from Python: load a config, forecast its work, and run it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from peerkd.api.progress import reporting_progress
from peerkd.api.runs import Run, open_run
from peerkd.artifacts.filesystem import check_writable
from peerkd.artifacts.open import S3_SCHEME, canonical_address, check_address, open_store
from peerkd.config.launch import LaunchConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.pipelines import find_pipeline, pipeline_of
from peerkd.config.resolve import load as load_config
from peerkd.config.resolve import load_mapping
from peerkd.config.tuning import check_grid, check_strategy
from peerkd.stages.run_record import find_route
from peerkd.stages.store_index import try_write_index

if TYPE_CHECKING:
    from peerkd.api.progress import ProgressFunction
    from peerkd.config.collaborate import CollaborateConfig
    from peerkd.config.experiment import ExperimentConfig
    from peerkd.config.strict import StrictConfig
    from peerkd.training.forecast import Forecast
    from peerkd.training.forecast_rounds import RoundsForecast
    from peerkd.training.forecast_study import StudyForecast

Overrides = Mapping[str, Any] | Iterable[str]
"""Changes of a config: values by the dotted names of their fields, or ``key=value`` pairs as for ``--set``."""

PipelineName = Literal["jointkd", "pcl", "collaborate"]


@overload
def load(
    pipeline: Literal["jointkd"] = ...,
    *,
    preset: str | None = ...,
    config: str | Path | Mapping[str, Any] | None = ...,
    overrides: Overrides = ...,
) -> "ExperimentConfig": ...


@overload
def load(
    pipeline: Literal["pcl"],
    *,
    preset: str | None = ...,
    config: str | Path | Mapping[str, Any] | None = ...,
    overrides: Overrides = ...,
) -> "PclConfig": ...


@overload
def load(
    pipeline: Literal["collaborate"],
    *,
    preset: str | None = ...,
    config: str | Path | Mapping[str, Any] | None = ...,
    overrides: Overrides = ...,
) -> "CollaborateConfig": ...


def load(
    pipeline: PipelineName = "jointkd",
    *,
    preset: str | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    overrides: Overrides = (),
) -> "StrictConfig":
    """Return the config of an experiment or a study.

    Args:
        pipeline: The pipeline: ``jointkd``, ``pcl`` or ``collaborate``.
        preset: The name of a preset. If neither a preset nor a config is given, it is ``digits``.
        config: The path of a YAML or JSON file, or a mapping, whose values replace those of the preset. Missing keys
            have the values of the preset, or their defaults if no preset is given.
        overrides: Changes that replace values of the preset and the config: ``{"sweep.alphas": [0.5]}`` or
            ``["sweep.alphas=[0.5]"]``.

    Raises:
        ValueError: If a key is unknown, a value breaks a rule, or the file cannot be read.
    """
    found = find_pipeline(pipeline)
    pairs = list(_pairs(overrides))
    if not isinstance(config, Mapping):
        file = None if config is None else Path(config)
        return load_config(found, preset=preset, config_file=file, overrides=pairs)
    return load_mapping(found, config, preset=preset or "", overrides=pairs)


@overload
def plan(
    config: "ExperimentConfig", *, store: str | Path | None = ..., strategy: Literal["sweep", "tune"] = ...
) -> "Forecast": ...


@overload
def plan(
    config: "CollaborateConfig", *, store: str | Path | None = ..., strategy: Literal["sweep", "tune"] = ...
) -> "RoundsForecast": ...


@overload
def plan(
    config: "PclConfig", *, store: str | Path | None = ..., strategy: Literal["sweep", "tune"] = ...
) -> "StudyForecast": ...


def plan(
    config: "StrictConfig", *, store: str | Path | None = None, strategy: Literal["sweep", "tune"] = "sweep"
) -> "Forecast | RoundsForecast | StudyForecast":
    """Return the work of an experiment or a study: numbers of trainings, samples and bytes.

    An experiment that a run would refuse is refused with the same error.

    Args:
        config: The config, from ``load``.
        store: The store of the run. It is needed if the config takes its peers or its data from an earlier run in this
            store. The pipeline ``pcl`` ignores it.
        strategy: How settings are chosen in the pipeline ``jointkd``. The other pipelines ignore it.

    Raises:
        ValueError: If the config does not fit the data.
        DataSourceError: If the data set is missing or damaged.
    """
    # Imported here, because the functions above need neither data nor networks.
    from peerkd.config.collaborate import CollaborateConfig
    from peerkd.config.experiment import ExperimentConfig
    from peerkd.stages.planning import prepare, prepare_study
    from peerkd.training.forecast import forecast, tuned
    from peerkd.training.forecast_rounds import forecast_rounds
    from peerkd.training.forecast_study import forecast_study

    check_strategy(strategy)
    if isinstance(config, PclConfig):
        return forecast_study(config, prepare_study(config).samples)
    if not isinstance(config, ExperimentConfig | CollaborateConfig):
        raise TypeError(f"config must be a config that peerkd.load returns, got {type(config).__name__}.")
    if isinstance(config, ExperimentConfig):
        check_grid(config.sweep, strategy)
    prepared = prepare(config, None if store is None else open_store(str(store)))
    if isinstance(config, CollaborateConfig):
        return forecast_rounds(config, prepared.samples, given_bytes=prepared.given_bytes)
    expected = forecast(config, prepared.samples, given_bytes=prepared.given_bytes)
    return tuned(expected, config) if strategy == "tune" else expected


def run(
    config: "StrictConfig",
    *,
    store: str | Path = "runs",
    strategy: Literal["sweep", "tune"] = "sweep",
    num_workers: int | None = 0,
    on_progress: "ProgressFunction | None" = None,
) -> Run:
    """Run an experiment or a study, and return the finished run.

    If ``num_seeds`` of the config is above 1, each seed has a run of its own, and the result is the run whose report is
    the report on all seeds. Its attribute ``runs`` has the run of each seed. A study of ``pcl`` is one run with all its
    seeds.

    A run that was interrupted continues when the call is repeated. Results that the store already has are not computed
    again. Numbers and keys are those of ``peerkd run``.

    Args:
        config: The config, from ``load``.
        store: The folder of the artifact store, or its address such as ``s3://bucket/prefix``.
        strategy: How settings are chosen in the pipeline ``jointkd``: ``sweep`` trains all of them, ``tune`` lets the
            tuner choose. The other pipelines ignore it.
        num_workers: 0 runs everything in the calling process, one training after another, so breakpoints work. None
            runs the compiled pipeline as ``peerkd run`` does: its tasks are processes, which use all cores or GPUs. A
            number runs the compiled pipeline with this number of workers for each stage.
        on_progress: A function that is called in this process with a ``RunProgress`` after each line of the run, in
            place of printing the line. An exception that it raises interrupts the run as Ctrl-C does, and is raised
            from this call. Repeat the call to continue.

    Raises:
        ValueError: If the config does not fit the data, or if the store cannot be written.
        PeerKDError: If a stage fails for another reason.
    """
    check_strategy(strategy)
    address = str(store)
    check_address(address)
    address = canonical_address(address)
    if not address.startswith(S3_SCHEME):
        check_writable(Path(address), field="store")
    # This sends no request, and raises an error if the environment lacks a setting of a remote store.
    open_store(address)
    pipeline = pipeline_of(config).name
    assert isinstance(config, PeerExperimentConfig | PclConfig)
    chosen = strategy if pipeline == "jointkd" else None
    launch = LaunchConfig(backend="local", num_workers=num_workers)
    route = find_route(pipeline, chosen)
    with reporting_progress(on_progress, pipeline=route.title, experiment=config.name, stages=route.stages):
        if launch.is_in_process:
            from peerkd.stages.in_process import run_in_process

            key = run_in_process(config, address, strategy=chosen)
        else:
            from peerkd.launch.local_pipeline import compiled_pipeline, run_pipeline

            arguments = {"config_json": config.to_json(), "store": address, **launch.to_parameters()}
            key = run_pipeline(compiled_pipeline(pipeline), arguments | ({"strategy": chosen} if chosen else {}))
    if not address.startswith(S3_SCHEME):
        try_write_index(address)
    return open_run(key, store=address)


def _pairs(overrides: Overrides) -> Iterable[str]:
    if isinstance(overrides, str):
        # The characters of a string would otherwise be taken as pairs.
        raise TypeError('overrides must be a mapping or a list, such as ["seed=1"], got a string.')
    if not isinstance(overrides, Mapping):
        return overrides
    # JSON is YAML, in which the values of pairs are written.
    return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
