"""All rounds of a method, one after another, with a checkpoint after each round.

A round depends only on its number and on the weights at its beginning. A process that is killed and resumes from a
checkpoint therefore ends with the same numbers.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from peerkd.config.collaborate import CollaborateConfig
from peerkd.rounds import ROUND_METHODS
from peerkd.rounds.method import PeerWeights, RoundMethod, Weights
from peerkd.training.checkpoints import check_tensors, load_tensors, save_tensors
from peerkd.training.devices import gpu_bytes, process_device
from peerkd.training.inputs import MethodDone, RoundDone, RoundsInputs
from peerkd.training.process_pool import TaskFunction
from peerkd.training.rounds.data import RoundsData
from peerkd.training.rounds.measure import (
    NO_BYTES,
    Accuracies,
    exchanged_bytes,
    first_row,
    is_accepted,
    measure,
    teacher_columns,
)
from peerkd.training.rounds.round import TrainingRound
from peerkd.training.rounds.suggestions import gains_of

History = list[dict[str, Any]]
"""The measurements of each peer before the first round and after each round, as in ``ROUNDS_SCHEMA``."""


def start(inputs: RoundsInputs, *, process_index: int) -> TaskFunction:
    """Open the data in a process and return a function that does all rounds of one method there.

    The function yields a ``RoundDone`` after each round, and a ``MethodDone`` at the end.
    """
    device = process_device(inputs.device, process_index=process_index)
    config = inputs.config
    data = RoundsData(
        config, dataset_folder=inputs.dataset_folder, partition_folder=inputs.partition_folder, device=device
    )

    def perform(name: str) -> Iterator[RoundDone | MethodDone]:
        method = ROUND_METHODS[name]
        starts = data.load_weights(inputs.peers_folder, inputs.finite_peers)
        checkpoint = inputs.checkpoint(name)
        weights, history = load_rounds(checkpoint, like=starts) if checkpoint.exists() else (starts, History())
        if not history:
            history = before_rounds(config, data, starts)
        first_round = history[-1]["round"] + 1
        for number in range(first_round, config.rounds.num_rounds + 1):
            weights, rows = do_round(config, data, method, weights, history, number=number)
            history += rows
            save_rounds(checkpoint, weights, history)
            yield RoundDone(
                name,
                number,
                sum(row["num_own_samples"] + row["num_public_samples"] for row in rows),
                sum(row["validation_global_accuracy"] for row in rows) / len(rows),
                gpu_bytes(device),
            )
        if name == config.rounds.methods[0]:
            for peer, state in weights.items():
                save_tensors(inputs.network(peer), state)
        yield MethodDone({"method": name, "history": history})

    return perform


def before_rounds(config: CollaborateConfig, data: RoundsData, weights: PeerWeights) -> History:
    """Return the measurements of the pre-trained peers.

    Raises:
        ValueError: If a peer has logits that are not finite.
    """
    measured = measure(config, data, weights)
    for peer in weights:
        if peer not in measured:
            raise ValueError(
                f"rounds.precision must give finite logits for every pre-trained peer, got NaN or infinite logits of "
                f"peer {peer} with {config.rounds.precision}."
            )
    return [first_row(peer, accuracies) for peer, accuracies in measured.items()]


def do_round(
    config: CollaborateConfig,
    data: RoundsData,
    method: RoundMethod,
    weights: PeerWeights,
    history: History,
    *,
    number: int,
) -> tuple[dict[int, Weights], History]:
    """Return the weights of the peers after a round, and a row of measurements for each of them.

    Args:
        config: The experiment.
        data: The data of the rounds.
        method: The method.
        weights: The weights of each peer at the beginning of the round.
        history: The rows of measurements of all earlier rounds.
        number: The number of the round, counted from 1.
    """
    present = present_peers(config, weights, number=number)
    round = TrainingRound(config, data, number=number, peers=sorted(present), gains=gains_of(history))
    proposals = method.propose(round, present)
    return finish_round(config, data, method, round, weights, proposals, history, peers=sorted(weights))


def present_peers(config: CollaborateConfig, weights: PeerWeights, *, number: int) -> dict[int, Weights]:
    """Return the weights of the peers that take part in a round, counted from 1, ascending."""
    absent = config.rounds.absent_peers(number)
    return {peer: weights[peer] for peer in sorted(weights) if peer not in absent}


def finish_round(
    config: CollaborateConfig,
    data: RoundsData,
    method: RoundMethod,
    round: TrainingRound,
    weights: PeerWeights,
    proposals: PeerWeights,
    history: History,
    *,
    peers: Sequence[int],
) -> tuple[dict[int, Weights], History]:
    """Let some peers accept or reject what a round proposes to them.

    Args:
        config: The experiment.
        data: The data of the rounds.
        method: The method.
        round: The round, with the numbers of samples on which these peers have trained.
        weights: The weights of all peers at the beginning of the round.
        proposals: What the method proposes to these peers, and possibly to more.
        history: The rows of measurements of these peers in all earlier rounds.
        peers: The peers, ascending.

    Returns:
        The weights of these peers after the round, and a row of measurements for each of them.
    """
    measured = measure(config, data, {peer: proposals[peer] for peer in peers if peer in proposals})
    exchanged = exchanged_bytes(method, round, weights, data)
    before = {row["peer"]: row for row in history[-len(peers) :]}
    start = {row["peer"]: row for row in history[: len(peers)]}
    after: dict[int, Weights] = {peer: weights[peer] for peer in peers}
    rows: History = []
    for peer in peers:
        accepted = is_accepted(
            measured.get(peer) if peer in proposals else _accuracies(before[peer]),
            _accuracies(start[peer]),
            max_own_drop=None if method.is_bound else config.rounds.max_own_drop,
        )
        if accepted and peer in proposals:
            # Peers of one neighbourhood may share tensors, which a checkpoint cannot represent.
            after[peer] = {name: tensor.clone() for name, tensor in proposals[peer].items()}
        rows.append(
            {
                "round": round.number,
                "peer": peer,
                **(measured[peer] if accepted and peer in proposals else _accuracies(before[peer])),
                **exchanged.get(peer, NO_BYTES),
                "num_own_samples": round.num_own_samples[peer],
                "num_public_samples": round.num_public_samples[peer],
                "is_accepted": accepted and not round.is_declined(peer),
                **teacher_columns(peer, round.shares.get(peer, {})),
                **round.columns(peer),
            }
        )
    return after, rows


def save_rounds(path: Path, weights: PeerWeights, history: History, *, partial_folder: Path | None = None) -> None:
    """Write the state of the rounds of a method. The file appears whole or not at all; see ``save_tensors``."""
    tensors = {f"{peer}/{name}": tensor for peer, state in weights.items() for name, tensor in state.items()}
    words = {"history": json.dumps(history, allow_nan=False)}
    save_tensors(path, tensors, words, is_sealed=True, partial_folder=partial_folder)


def load_rounds(path: Path, *, like: PeerWeights) -> tuple[dict[int, Weights], History]:
    """Read what ``save_rounds`` wrote, onto the devices of the tensors of ``like``.

    Raises:
        ArtifactCorruptError: If the file is damaged, or does not contain the weights of the peers in ``like``.
    """
    tensors, metadata = load_tensors(path)
    expected = {f"{peer}/{name}": tensor for peer, state in like.items() for name, tensor in state.items()}
    check_tensors(tensors, expected, source=str(path))
    weights: dict[int, Weights] = {
        peer: {name: tensors[f"{peer}/{name}"].to(tensor.device) for name, tensor in state.items()}
        for peer, state in like.items()
    }
    history: History = json.loads(metadata["history"])
    return weights, history


def _accuracies(row: dict[str, Any]) -> Accuracies:
    return {name: value for name, value in row.items() if name.endswith(("_accuracy", "_accuracies"))}
