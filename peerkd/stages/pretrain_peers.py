"""Stage: train each peer on its own data."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, Final

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import Manifest
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.pipelines import read_peer_experiment
from peerkd.stages import given_peers
from peerkd.stages.launched_stage import LaunchedStage
from peerkd.wording import called

NAME: Final = "pretrain_peers"

_MAX_LINES: Final = 10


def key(config: PeerExperimentConfig, partition: Manifest) -> str:
    """Return the key of the artifact with the pre-trained peers, given the config and the partition."""
    # What the user calls a peer changes no number, nor does the place of its weights, nor a recipe by which no peer is
    # trained.
    without = ["peers.given", "peers.from_"]
    if config.num_trained_peers == 0:
        fields: tuple[str, ...] = ("peers",)
    else:
        fields = ("seed", "augmentation", "peers", "pretrain")
        without += ["pretrain.collaboration"] if config.pretrain.method == "cross_entropy" else []
    differences = keys.differences(config, fields=fields, without=without)
    return keys.key(
        NAME,
        {"partition": references.reference(partition), "config": differences, **given_peers.causes(config, partition)},
    )


def finite_peers(records: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """Return the peers whose pre-training did not diverge, in ascending order.

    Only these peers have weights and take part in a sweep.

    Args:
        records: The records of the pre-training of all peers.
    """
    return tuple(sorted(int(record["peer"]) for record in _finite(records)))


def check_enough_finite(records: Sequence[Mapping[str, Any]], *, learning_rate: float) -> None:
    """Check that the pre-training of at least two peers did not diverge.

    Args:
        records: The records of the pre-training of all peers.
        learning_rate: The learning rate of the pre-training, for the message.

    Raises:
        ValueError: If fewer than two peers are left.
    """
    num_peers, num_finite = len(records), len(finite_peers(records))
    if num_finite < 2:
        left = "All" if num_finite == 0 else f"All but {num_finite} of the"
        raise ValueError(
            f"{left} {num_peers} peers diverged in pre-training, but at least 2 must end in finite numbers: lower "
            f"pretrain.learning_rate, which is {learning_rate:g}."
        )


def summary(metadata: Mapping[str, Any]) -> str:
    """Describe the artifact of this stage in a few words, given its metadata."""
    finite = _finite(metadata["peers"])
    accuracies = [record["test_global_accuracy"] for record in finite]
    reached = f", global test accuracy {min(accuracies):.1%} to {max(accuracies):.1%}" if accuracies else ""
    num_diverged = len(metadata["peers"]) - len(finite)
    diverged = (
        f"; {num_diverged} diverged and {'takes' if num_diverged == 1 else 'take'} no part" if num_diverged else ""
    )
    return f"{len(metadata['peers'])} peers{reached}{diverged}"


def accuracy_lines(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Return a line with the name and the test accuracies of each of the first ten peers that did not diverge.

    Args:
        records: The records of the pre-training of all peers.
        names: What each peer is called, by its number.
    """
    return [
        f"{called(names[record['peer']])}: own test accuracy {_percent(record['test_own_accuracy'])}, global "
        f"{_percent(record['test_global_accuracy'])}"
        for record in _finite(records)[:_MAX_LINES]
    ]


def _percent(accuracy: float | None) -> str:
    # A peer without test samples of its own has no own accuracy.
    return "unknown" if accuracy is None or isnan(accuracy) else f"{accuracy:.1%}"


def _finite(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [record for record in records if record["is_finite"]]


STAGE: Final = LaunchedStage(
    name=NAME,
    read_config=read_peer_experiment,
    input_name="partition",
    key=key,
    summary=summary,
)
