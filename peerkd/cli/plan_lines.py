"""The lines of ``peerkd plan`` about experiments on pairs of peers, experiments with rounds, and studies of methods."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.wording import listed
from peerkd.stages.planning import PlannedPeer
from peerkd.stages.shards import has_sections, num_shards_of_sweep
from peerkd.stages.store_requests import requests_of_shards, requests_of_worker_hour
from peerkd.study.extension import MAX_EXTENSIONS
from peerkd.study.grid import omissions
from peerkd.training.forecast import Forecast, PartitionSizes, tuned
from peerkd.training.forecast_rounds import RoundsForecast
from peerkd.training.forecast_study import StudyForecast
from peerkd.wording import format_bytes, plural

_NUM_SHOWN_PEERS: Final = 20
_NUM_SHOWN_CLASSES: Final = 5


def line(name: str, value: str, note: str = "") -> str:
    """Return a line of a plan: a name, a value, and a note."""
    return f"  {name:<22}{value:>16}  {note}".rstrip()


def seed_lines(config: PeerExperimentConfig) -> Iterator[str]:
    """Yield a line about the seeds if there are several."""
    if config.num_seeds > 1:
        yield line("seeds", f"{config.num_seeds:,}", "complete studies; the lines below are about one of them")


def _samples_line(samples: PartitionSizes, *, num_peers: int) -> str:
    """Return the line about the samples of an experiment with peers."""
    return line(
        "training samples",
        f"{samples.training:,}",
        f"{samples.training / num_peers:,.0f} per peer; {samples.validation:,} for validation, "
        f"{samples.test:,} for test, {samples.public:,} public",
    )


def sweep_lines(
    config: ExperimentConfig,
    expected: Forecast,
    given_bytes: Sequence[int | None] = (),
    *,
    strategy: str | None = None,
    is_store_remote: bool = False,
) -> Iterator[str]:
    """Yield the lines about an experiment on pairs of peers.

    Args:
        config: The experiment.
        expected: The forecast.
        given_bytes: For each peer, the size of the file with the weights that the user gives for it; None for a peer
            without such a file. An empty sequence means that the user gives no weights.
        strategy: How settings are chosen; None for a sweep.
        is_store_remote: Whether the store is in S3, where each request has a price.
    """
    yield from seed_lines(config)
    samples = expected.samples
    architectures = Counter(config.architectures)
    yield line("peers", f"{expected.num_peers:,}", ", ".join(f"{num:,} {name}" for name, num in architectures.items()))
    yield line("ordered pairs", f"{expected.num_pairs:,}")
    if config.sweep.num_partners is not None:
        yield line("partners of a peer", f"{config.sweep.num_partners:,}", "drawn at random")
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
    yield _samples_line(samples, num_peers=expected.num_peers)
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
    if is_store_remote and strategy != "tune":
        yield ""
        yield "Requests to a store in S3 if several workers share the sweep (approximate; prices of Amazon):"
        yield from request_lines(expected.num_units)
    yield ""
    yield "Bytes that leave the teachers of all pairs if students are trained where their data are (approximate):"
    for name, moved in expected.moved.items():
        parts = [f"{format_bytes(num)} of {noun}" for noun, num in moved._asdict().items() if num]
        yield line(name, format_bytes(sum(moved)), ", ".join(parts))


def request_lines(num_units: int) -> Iterator[str]:
    """Yield the lines about the requests with which the workers of a sweep share its units."""
    num_shards = num_shards_of_sweep(num_units)
    of_shards, of_hour = requests_of_shards(num_shards, in_sections=has_sections(num_shards)), requests_of_worker_hour()
    for name, requests, note in (
        ("for all shards", of_shards, plural(num_shards, "shard")),
        ("for each worker", of_hour, "in an hour, at most"),
    ):
        num = requests.num_writes + requests.num_reads
        yield line(name, f"{num:,.0f}", f"{note}; {requests.price_usd:,.2g} USD")


def rounds_lines(config: CollaborateConfig, expected: RoundsForecast) -> Iterator[str]:
    """Yield the lines about an experiment with rounds."""
    yield from seed_lines(config)
    samples, rounds = expected.samples, config.rounds
    architectures = Counter(config.architectures)
    yield line("peers", f"{expected.num_peers:,}", ", ".join(f"{num:,} {name}" for name, num in architectures.items()))
    yield line("partners of a peer", f"{expected.num_partners:.3g}", f"topology {rounds.topology.kind}")
    yield line("rounds", f"{expected.num_rounds:,}", f"{plural(rounds.epochs, 'epoch')} each")
    yield line("methods", f"{len(rounds.methods)}", ", ".join(rounds.methods))
    yield _samples_line(samples, num_peers=expected.num_peers)
    yield ""
    yield "Samples through networks (approximate):"
    trained = plural(config.num_trained_peers, "peer")
    given = "" if config.num_trained_peers == expected.num_peers else f" of {trained}; the weights of others are given"
    yield line(
        "pre-training", f"{expected.num_pretraining_samples:,}", f"{plural(config.pretrain.epochs, 'epoch')}{given}"
    )
    for name, num in expected.num_training_samples.items():
        predicted = expected.num_predicted_samples[name]
        yield line(f"rounds of {name}", f"{num:,}", f"and {predicted:,} samples predicted" if predicted else "")
    yield line("evaluation, forward", f"{expected.num_evaluation_samples:,}")
    yield ""
    yield "Bytes (approximate):"
    yield line("data set", "0" if config.data.storage == "streamed" else format_bytes(expected.dataset_bytes))
    yield line("weights of the peers", format_bytes(expected.weights_bytes), "and as much again after the rounds")
    yield ""
    yield "Bytes that leave the peers in all rounds (approximate):"
    for name, num in expected.sent_bytes.items():
        yield line(name, format_bytes(num), f"{format_bytes(expected.received_bytes[name])} received" if num else "")


def study_lines(config: PclConfig, expected: StudyForecast) -> Iterator[str]:
    """Yield the lines about a study of methods."""
    samples, epochs = expected.samples, config.training.epochs
    yield line("networks", f"{len(config.architectures)}", ", ".join(config.architectures))
    yield line("methods", f"{len(config.methods)}", ", ".join(config.methods))
    yield line("seeds", f"{config.num_seeds:,}", f"from {config.seed}")
    yield line("runs", f"{expected.num_runs:,}", f"{plural(epochs, 'epoch')} each")
    yield line("training samples", f"{samples.training:,}", f"{samples.evaluated:,} for validation and test")
    yield ""
    yield "Samples through networks (approximate):"
    for method, num in expected.num_training_samples.items():
        passes = expected.num_passes[method]
        yield line(method, f"{num:,}", f"{plural(passes, 'pass', 'passes')} for each sample" if passes > 1 else "")
    yield line("evaluation, forward", f"{expected.num_evaluation_samples:,}", "once for each network of a run")
    yield ""
    yield "Bytes (approximate):"
    streamed = config.data.storage == "streamed"
    yield line("data set", *(("0", "read in place") if streamed else (format_bytes(expected.dataset_bytes),)))
    yield line("networks", format_bytes(expected.networks_bytes))


def peer_lines(peers: Sequence[PlannedPeer]) -> Iterator[str]:
    """Yield the training samples of each peer by class, if the peers have names."""
    if all(peer.name.isdigit() for peer in peers):
        return
    yield "Training samples of each peer:"
    width = max(len(peer.name) for peer in peers[:_NUM_SHOWN_PEERS])
    for peer in peers[:_NUM_SHOWN_PEERS]:
        counts = [f"{name} {num:,}" for name, num in peer.class_counts.items()]
        num_samples = sum(peer.class_counts.values())
        yield f"  {peer.name:<{width}}{num_samples:>8,}  {listed(counts, num_named=_NUM_SHOWN_CLASSES)}"
    if len(peers) > _NUM_SHOWN_PEERS:
        yield f"  and {len(peers) - _NUM_SHOWN_PEERS:,} more"
    yield ""
