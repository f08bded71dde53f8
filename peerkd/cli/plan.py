"""``peerkd plan``: a forecast of the size and the duration of an experiment."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import typer

from peerkd.artifacts.open import open_store
from peerkd.artifacts.store import ArtifactStore
from peerkd.cli.options import Experiment, StorePlace
from peerkd.cli.plan_lines import line, rounds_lines, seed_lines, study_lines
from peerkd.config.architectures import network_modules
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.given_peers import STORE_SCHEME, PeerNetwork
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.pipelines import Pipeline
from peerkd.config.strict import StrictConfig
from peerkd.config.tuning import check_grid, check_strategy
from peerkd.metrics.tracking.sinks import check_sinks
from peerkd.stages import split_data
from peerkd.stages.dataset import read_dataset
from peerkd.stages.planning import data_lines, prepare
from peerkd.study.extension import MAX_EXTENSIONS
from peerkd.study.grid import omissions
from peerkd.training.forecast import (
    Forecast,
    PartitionSizes,
    Rates,
    dataset_bytes,
    forecast,
    peer_bytes,
    process_seconds,
    tuned,
)
from peerkd.training.forecast_rounds import forecast_rounds, recipe_to_measure, rounds_seconds
from peerkd.wording import format_bytes, format_duration, plural


def plan(
    pipeline: Pipeline[StrictConfig],
    experiment: Experiment,
    place: StorePlace,
    *,
    measure: bool | None = False,
    strategy: str | None = None,
) -> None:
    """Print the work of an experiment and, after a few seconds of measuring, its duration on this machine.

    The data set is read and divided by the same functions as in a run, so a plan accepts what a run accepts.

    Args:
        pipeline: The pipeline of the experiment.
        experiment: The options that describe the experiment.
        place: The options that name the store of the run. If none is given, the store is read only if it contains the
            data of a peer.
        measure: Whether to measure. None: measure if torch is installed. A study of methods is never measured.
        strategy: How settings are chosen; None for a pipeline without that choice.

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
    if isinstance(config, PclConfig):
        _plan_study(config)
        return
    if isinstance(config, ExperimentConfig) and strategy is not None:
        check_grid(config.sweep, strategy)
    about_data, samples, given_bytes = prepare(config, _open_store(config, place))
    measured: Iterator[str] = iter(())
    if isinstance(config, CollaborateConfig):
        of_rounds = forecast_rounds(config, samples, given_bytes=given_bytes)
        work = rounds_lines(config, of_rounds)
        measured = measured_lines(
            recipe_to_measure(config), samples, lambda rates: rounds_seconds(of_rounds, rates, config)
        )
    else:
        assert isinstance(config, ExperimentConfig)
        expected = forecast(config, samples, given_bytes=given_bytes)
        work = lines(config, expected, given_bytes, strategy=strategy)
        timed = tuned(expected, config) if strategy == "tune" else expected
        measured = measured_lines(config, samples, lambda rates: process_seconds(timed, rates, config))
    for each in (*about_data, *work):
        typer.echo(each)
    if has_torch if measure is None else measure:
        typer.echo("")
        for each in measured:
            typer.echo(each)


def bytes_to_write(config: StrictConfig, place: StorePlace) -> int:
    """Check the data as the first task of a run does, and return the approximate number of bytes that the run writes.

    Raises:
        ValueError: If the data set does not fit the config.
        DataSourceError: If the data set is missing or damaged.
    """
    if isinstance(config, PclConfig):
        dataset = read_dataset("plan", config.data, seed=config.seed)
        split_data.divide_study(config, dataset)
        return round(sum(split_data.bytes_to_write(config, dataset).values()))
    assert isinstance(config, PeerExperimentConfig)
    _, samples, given_bytes = prepare(config, _open_store(config, place))
    if isinstance(config, ExperimentConfig):
        expected = forecast(config, samples, given_bytes=given_bytes)
        # The records in the journals are copied while the table is built.
        written = expected.dataset_bytes + 2 * expected.weights_bytes
        return written + 2 * expected.journals_bytes + expected.table_bytes
    return dataset_bytes(config, samples) + 2 * sum(peer_bytes(config, samples, given_bytes=given_bytes))


def _plan_study(config: PclConfig) -> None:
    """Check the data as the first task of a study of methods does, and print the work of the study."""
    dataset = read_dataset("plan", config.data, seed=config.seed)
    assignment, warned = split_data.divide_study(config, dataset)
    num_train = len(assignment.train[0])
    warned = [*warned, *split_data.batch_warnings(config, num_train=num_train)]
    bytes_by_kind = split_data.bytes_to_write(config, dataset)
    num_evaluated = len(assignment.validation) + len(assignment.test)
    for each in (
        *data_lines(dataset, warned),
        *study_lines(config, bytes_by_kind, num_train=num_train, num_evaluated=num_evaluated),
    ):
        typer.echo(each)


def _open_store(config: PeerExperimentConfig, place: StorePlace) -> ArtifactStore | None:
    """Return the store of the run. Return None if no option names a store and no peer has its data in the store."""
    needs_store = any(peer.data is not None and peer.data.startswith(STORE_SCHEME) for peer in config.peers.given)
    return open_store(place.address) if needs_store or place != StorePlace() else None


def lines(
    config: ExperimentConfig,
    expected: Forecast,
    given_bytes: Sequence[int | None] = (),
    *,
    strategy: str | None = None,
) -> Iterator[str]:
    """Yield the lines that ``peerkd plan`` prints about a forecast.

    Args:
        config: The experiment.
        expected: The forecast.
        given_bytes: For each peer, the size of the file with the weights that the user gives for it; None for a peer
            without such a file. An empty sequence means that the user gives no weights.
        strategy: How settings are chosen; None for a sweep.
    """
    yield from seed_lines(config)
    samples = expected.samples
    architectures = Counter(config.architectures)
    yield line("peers", f"{expected.num_peers:,}", ", ".join(f"{num:,} {name}" for name, num in architectures.items()))
    yield line("ordered pairs", f"{expected.num_pairs:,}")
    yield line("transfer sets", f"{len(config.sweep.tried_transfer_sets)}", ", ".join(config.sweep.tried_transfer_sets))
    left_out = [name for name in config.sweep.transfer_sets if name not in config.sweep.tried_transfer_sets]
    if left_out:
        yield line("omitted transfer sets", f"{len(left_out)}", f"{', '.join(left_out)}: samples of a peer leave it")
    if config.sweep.learning_rates:
        rates = ", ".join(f"{rate:g}" for rate in config.sweep.learning_rates)
        yield line("learning rates", f"{len(config.sweep.learning_rates)}", rates)
    for noun, names in (("losses", config.sweep.losses), ("targets", config.sweep.targets)):
        if names:
            yield line(noun, f"{len(names)}", ", ".join(names))
    for sentence in omissions(config.grid):
        yield line("omitted", "", sentence)
    if config.sweep.extend:
        yield line(
            "longer grid", "", f"at most {MAX_EXTENSIONS} times, values beyond its edges; their trials are not counted"
        )
    yield line("settings per pair", f"{expected.num_settings:,}", "on all transfer sets together")
    yield line("trials", f"{expected.num_trials:,}", f"{expected.num_controls:,} of them controls")
    if strategy == "tune":
        spent = f"{tuned(expected, config).num_distillation_samples:,}"
        yield line(
            "budget of the tuner", spent, f"samples, {config.tune.budget_fraction:.3g} of all trials but controls"
        )
    yield line(
        "training samples",
        f"{samples.training:,}",
        f"{samples.training / expected.num_peers:,.0f} per peer; {samples.validation:,} for validation, "
        f"{samples.test:,} for test, {samples.public:,} public",
    )
    yield ""
    yield "Samples through networks (approximate):"
    num_trained = plural(config.num_trained_peers, "peer")
    imported = ""
    if config.num_trained_peers < expected.num_peers:
        imported = f" of {num_trained}; the weights of the others are given"
    epochs = plural(config.pretrain.epochs, "epoch")
    yield line("pre-training", f"{expected.num_pretraining_samples:,}", f"{epochs}{imported}")
    yield line(
        "distillation",
        f"{expected.num_distillation_samples:,}",
        f"{plural(config.distill.epochs, 'epoch')} per trial; {expected.num_control_samples:,} of them for controls",
    )
    yield line(
        "better peers", f"{expected.num_improvement_samples:,}", "at most; the chosen trial of each student once more"
    )
    yield line("teachers, forward", f"{expected.num_teacher_samples:,}")
    yield line("evaluation, forward", f"{expected.num_evaluation_samples:,}")
    yield ""
    yield "Bytes (approximate):"
    streamed = config.data.storage == "streamed"
    yield line("data set", *(("0", "read in place") if streamed else (format_bytes(expected.dataset_bytes),)))
    is_known = [
        network.is_built_in or bool(known)
        for network, known in zip(config.networks, given_bytes or (None,) * expected.num_peers, strict=True)
    ]
    others = "" if all(is_known) else "without networks of other packages that have no weights yet"
    yield line("weights of the peers", format_bytes(expected.weights_bytes), others)
    yield line("better peers", format_bytes(expected.weights_bytes), others or "one network for each student")
    yield line("journals of the sweep", format_bytes(expected.journals_bytes), "during the sweep")
    yield line("table of trials", format_bytes(expected.table_bytes))
    yield ""
    yield "Bytes that leave the teachers of all pairs if students are trained where their data are (approximate):"
    for name, moved in expected.moved.items():
        parts = [f"{format_bytes(num)} of {noun}" for noun, num in moved._asdict().items() if num]
        yield line(name, format_bytes(sum(moved)), ", ".join(parts))


def measured_lines(
    config: ExperimentConfig, samples: PartitionSizes, seconds_of: Callable[[Mapping[PeerNetwork, Rates]], float]
) -> Iterator[str]:
    """Measure the training speed of this machine. Yield lines with the speed, and with the duration of the run.

    Args:
        config: The experiment whose recipes are measured.
        samples: The sizes of the parts of the data set.
        seconds_of: A function that returns the seconds of a run in one process, given the measured rates of each
            network.
    """
    # Imported here so that the earlier lines are printed without delay.
    from peerkd.stages.machine import choose_device
    from peerkd.training.process_pool import run_in_processes

    device, num_workers = choose_device(config.compute)
    rates: dict[PeerNetwork, Rates] = {}
    inputs = (config, samples, device)
    tasks = [(network, network) for network in dict.fromkeys(config.networks)]
    yield f"Samples per second on one {'core' if device == 'cpu' else 'GPU'}, with random images:"
    preload = network_modules(config.architectures)
    for network, measured in run_in_processes(
        "peerkd.training.rates:start", inputs, tasks, num_processes=1, preload=preload
    ):
        rates[network] = measured
        parts = zip(Rates._fields, measured, strict=True)
        yield line(str(network), ", ".join(f"{part} {1 / seconds:,.0f}" for part, seconds in parts if seconds > 0))
    seconds = seconds_of(rates)
    what = "CPU core" if device == "cpu" else "GPU"
    yield ""
    hours = seconds / 3600
    yield line(f"hours on one {what}", f"{hours:,.{2 if hours >= 1 else 3}f}", "only trainings and evaluations")
    yield line("time on this machine", format_duration(seconds / num_workers), f"{num_workers:,} in parallel")
