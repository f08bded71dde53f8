"""The tasks of rounds that several workers share: a phase of a round for the peers of one part.

A task needs the peers as all parts left them after the previous round, and what all parts have trained in the earlier
phases of its own round. It reads both from files, and writes a file itself. The files contain all bits of the weights,
and no training depends on which other peers the process trains, so the results do not depend on the division.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from peerkd.losses.targets.target import Prediction
from peerkd.rounds import ROUND_METHODS
from peerkd.rounds.method import PeerWeights, Weights
from peerkd.training.checkpoints import load_tensors, save_tensors
from peerkd.training.devices import gpu_bytes, process_device
from peerkd.training.inputs import RoundsInputs
from peerkd.training.process_pool import TaskFunction
from peerkd.training.round_parts import InputsMissing, PartDone, PartTask
from peerkd.training.rounds.data import RoundsData
from peerkd.training.rounds.round import TrainingRound
from peerkd.training.rounds.round_of_part import IncompleteWeights, OtherPartsNeededError, RoundOfPart
from peerkd.training.rounds.run import History, before_rounds, finish_round, load_rounds, present_peers, save_rounds
from peerkd.training.rounds.suggestions import gains_of


class _Phase(NamedTuple):
    """What all parts have trained in a phase."""

    trained: Mapping[int, PeerWeights]
    """The networks, by number of the training and by peer."""

    num_own_samples: Mapping[int, int]
    num_public_samples: Mapping[int, int]


def start(inputs: RoundsInputs, *, process_index: int) -> TaskFunction:
    """Open the data in a process and return a function that does tasks of the class ``PartTask`` there."""
    device = process_device(inputs.device, process_index=process_index)
    data = RoundsData(
        inputs.config, dataset_folder=inputs.dataset_folder, partition_folder=inputs.partition_folder, device=device
    )
    kept: list[_SharedRound] = []

    def perform(task: PartTask) -> Iterator[PartDone | InputsMissing]:
        if not kept or kept[0].identity != (task.method, task.number):
            kept[:] = [_SharedRound(inputs, data, method=task.method, number=task.number)]
        try:
            kept[0].load(task)
            done = kept[0].do(task)
        except FileNotFoundError:
            # Other workers have finished later rounds, and deleted a file of this one before it was read or complete.
            yield InputsMissing(task)
            return
        yield done._replace(gpu_bytes=gpu_bytes(device))

    return perform


class _SharedRound:
    """A round of a method in one process, which may do several tasks of it."""

    def __init__(self, inputs: RoundsInputs, data: RoundsData, *, method: str, number: int) -> None:
        self._inputs, self._config, self._data = inputs, inputs.config, data
        self.identity = method, number
        self._method, self._number = ROUND_METHODS[method], number
        self._predictions: list[Mapping[int, Prediction]] = []
        self._phases: list[_Phase] = []
        self._histories: dict[int, History] = {}

    def load(self, task: PartTask) -> None:
        """Load the files that a task needs.

        Raises:
            FileNotFoundError: If one of them is missing.
        """
        _ = self._weights, self._phases_before(task.phase)

    def do(self, task: PartTask) -> PartDone:
        """Do a task, and write its file."""
        config, weights, part = self._config, self._weights, self._inputs.parts[task.part]
        history = self._history(task.part)
        present = present_peers(config, weights, number=self._number)
        before = chain.from_iterable(self._histories.values())
        round = TrainingRound(config, self._data, number=self._number, peers=sorted(present), gains=gains_of([*before]))
        phases = self._phases_before(task.phase)
        mine = RoundOfPart(
            round,
            part=part,
            done={number: trained for each in phases for number, trained in each.trained.items()},
            predictions=self._predictions,
        )
        record: dict[str, Any] = {
            "method": task.method,
            "round": task.number,
            "phase": task.phase,
            "part": task.part,
            "num_parts": task.num_parts,
        }
        try:
            proposed = self._method.propose(mine, present)
        except OtherPartsNeededError:
            num_samples = _num_samples(round)
            path = self._inputs.rounds_folder / task.file_name
            _save_phase(path, _Phase(mine.trained, round.num_own_samples, round.num_public_samples))
            return PartDone({**record, "is_last": False}, (task.file_name,), (), num_samples)
        num_samples = _num_samples(round)
        for phase in phases:
            round.num_own_samples.update(phase.num_own_samples)
            round.num_public_samples.update(phase.num_public_samples)
        proposals = proposed.trained if isinstance(proposed, IncompleteWeights) else proposed
        after, rows = finish_round(
            config, self._data, self._method, round, weights, proposals, history, peers=sorted(part)
        )
        folder = self._inputs.rounds_folder
        save_rounds(folder / task.state_name, after, [*history, *rows], partial_folder=folder)
        is_end = self._number == config.rounds.num_rounds
        networks = self._publish(after) if is_end else ()
        return PartDone(
            {
                **record,
                "is_last": True,
                "accuracies": [row["validation_global_accuracy"] for row in rows],
                **({"history": [*history, *rows]} if is_end else {}),
            },
            (task.state_name,),
            networks,
            num_samples,
        )

    def _publish(self, weights: PeerWeights) -> tuple[int, ...]:
        if self._method.name != self._config.rounds.methods[0]:
            return ()
        for peer, state in weights.items():
            save_tensors(self._inputs.network(peer), state, partial_folder=self._inputs.rounds_folder)
        return tuple(weights)

    @cached_property
    def _weights(self) -> dict[int, Weights]:
        """The weights of all peers at the beginning of the round."""
        inputs, weights = self._inputs, dict[int, Weights]()
        if self._number == 1:
            return self._data.load_weights(inputs.peers_folder, inputs.finite_peers)
        for number, part in enumerate(inputs.parts):
            before = PartTask(self._method.name, self._number - 1, 0, number, len(inputs.parts))
            like = {peer: self._data.network(self._config.networks[peer]).state_dict() for peer in part}
            states, self._histories[number] = load_rounds(inputs.rounds_folder / before.state_name, like=like)
            weights |= states
        return {peer: weights[peer] for peer in inputs.finite_peers}

    def _history(self, part: int) -> History:
        """Return the measurements of the peers of a part before this round."""
        if part not in self._histories:
            mine = {peer: self._weights[peer] for peer in sorted(self._inputs.parts[part])}
            self._histories[part] = before_rounds(self._config, self._data, mine)
        return self._histories[part]

    def _phases_before(self, phase: int) -> list[_Phase]:
        num_parts = len(self._inputs.parts)
        while len(self._phases) < phase:
            tasks = (
                PartTask(self._method.name, self._number, len(self._phases), part, num_parts)
                for part in range(num_parts)
            )
            self._phases.append(
                _load_phase([self._inputs.rounds_folder / each.file_name for each in tasks], self._data)
            )
        return self._phases[:phase]


def _num_samples(round: TrainingRound) -> int:
    return round.num_own_samples.total() + round.num_public_samples.total()


def _save_phase(path: Path, phase: _Phase) -> None:
    """Write what one part has trained in a phase. The file appears whole or not at all."""
    tensors = {
        f"{number}/{peer}/{name}": tensor
        for number, trained in phase.trained.items()
        for peer, state in trained.items()
        for name, tensor in state.items()
    }
    counted = {
        "trainings": sorted(phase.trained),
        "own": sorted(phase.num_own_samples.items()),
        "public": sorted(phase.num_public_samples.items()),
    }
    save_tensors(path, tensors, {"counted": json.dumps(counted)}, is_sealed=True, partial_folder=path.parent)


def _load_phase(paths: list[Path], data: RoundsData) -> _Phase:
    """Read what all parts have trained in a phase, onto the device of the data."""
    trained: dict[int, dict[int, dict[str, Any]]] = {}
    own: dict[int, int] = {}
    public: dict[int, int] = {}
    for path in paths:
        tensors, metadata = load_tensors(path)
        counted = json.loads(metadata["counted"])
        for number in counted["trainings"]:
            trained.setdefault(number, {})
        for name, tensor in tensors.items():
            number, peer, entry = name.split("/", 2)
            trained[int(number)].setdefault(int(peer), {})[entry] = tensor.to(data.device)
        for total, each in ((own, counted["own"]), (public, counted["public"])):
            for peer, num in each:
                total[peer] = total.get(peer, 0) + num
    return _Phase(trained, own, public)
