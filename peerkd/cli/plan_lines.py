"""The lines of ``peerkd plan`` about experiments with rounds and studies of methods."""

from collections import Counter
from collections.abc import Iterator, Mapping

from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.methods import METHODS
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.training.forecast_rounds import RoundsForecast
from peerkd.wording import format_bytes, plural


def line(name: str, value: str, note: str = "") -> str:
    """Return a line of a plan: a name, a value, and a note."""
    return f"  {name:<22}{value:>16}  {note}".rstrip()


def seed_lines(config: PeerExperimentConfig) -> Iterator[str]:
    """Yield a line about the seeds if there are several."""
    if config.num_seeds > 1:
        yield line("seeds", f"{config.num_seeds:,}", "complete studies; the lines below are about one of them")


def rounds_lines(config: CollaborateConfig, expected: RoundsForecast) -> Iterator[str]:
    """Yield the lines about an experiment with rounds."""
    yield from seed_lines(config)
    samples, rounds = expected.samples, config.rounds
    architectures = Counter(config.architectures)
    yield line("peers", f"{expected.num_peers:,}", ", ".join(f"{num:,} {name}" for name, num in architectures.items()))
    yield line("partners of a peer", f"{expected.num_partners:.3g}", f"topology {rounds.topology.kind}")
    yield line("rounds", f"{expected.num_rounds:,}", f"{plural(rounds.epochs, 'epoch')} each")
    yield line("methods", f"{len(rounds.methods)}", ", ".join(rounds.methods))
    yield line(
        "training samples",
        f"{samples.training:,}",
        f"{samples.training / expected.num_peers:,.0f} per peer; {samples.validation:,} for validation, "
        f"{samples.test:,} for test, {samples.public:,} public",
    )
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


def study_lines(
    config: PclConfig, bytes_by_kind: Mapping[str, float], *, num_train: int, num_evaluated: int
) -> Iterator[str]:
    """Yield the lines about a study of methods.

    Args:
        config: The study.
        bytes_by_kind: The number of bytes that the study writes, by kind of data.
        num_train: The number of training samples.
        num_evaluated: The number of validation and test samples.
    """
    num_runs, epochs = len(config.runs), config.training.epochs
    runs_of_method = num_runs // len(config.methods)
    yield line("networks", f"{len(config.architectures)}", ", ".join(config.architectures))
    yield line("methods", f"{len(config.methods)}", ", ".join(config.methods))
    yield line("seeds", f"{config.num_seeds:,}", f"from {config.seed}")
    yield line("runs", f"{num_runs:,}", f"{plural(epochs, 'epoch')} each")
    yield line("training samples", f"{num_train:,}", f"{num_evaluated:,} for validation and test")
    yield ""
    yield "Samples through networks (approximate):"
    for method in config.methods:
        facts, num_branches = METHODS[method], config.collaboration.num_branches
        # A mean network predicts each view once more.
        passes = (num_branches if facts.has_views else 1) * (2 if facts.has_mean_network else 1)
        passes *= num_branches if not facts.shares_trunk and not facts.has_views else 1
        note = f"{plural(passes, 'pass', 'passes')} for each sample" if passes > 1 else ""
        yield line(method, f"{runs_of_method * epochs * num_train * passes:,}", note)
    num_evaluations = -(-epochs // config.evaluation.every_epochs)
    yield line(
        "evaluation, forward", f"{num_runs * num_evaluations * num_evaluated:,}", "once for each network of a run"
    )
    yield ""
    yield "Bytes (approximate):"
    for kind, num in bytes_by_kind.items():
        yield line(kind, format_bytes(round(num)))
