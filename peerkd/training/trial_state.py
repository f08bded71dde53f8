"""The state of a trial between two epoch ranges, in memory and on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from peerkd.losses.pairs.temperature_rule import State
from peerkd.study.trials import Trial
from peerkd.training.checkpoints import check_tensors, load_tensors, save_tensors
from peerkd.training.inputs import state_name

_WEIGHTS, _MOMENTUM = "weights/", "momentum/"
_OWN_TEMPERATURE = "own_temperature"


class TrialState(NamedTuple):
    """The state of the training of a student between two steps."""

    weights: Mapping[str, Tensor]
    """The network's parameters and buffers, by name."""

    momenta: Mapping[str, Tensor]
    """The momenta of the parameters, by name; empty before the first step."""

    own_temperature: State = ()
    """The state of the temperature, if the loss sets it; empty before the first step."""


def state_path(folder: Path, trial: Trial, *, num_epochs: int) -> Path:
    """Return the path of the file with the state of a trial after ``num_epochs`` epochs."""
    return folder / state_name(trial, num_epochs=num_epochs)


def save_state(path: Path, state: TrialState) -> None:
    """Write a state to a sealed file, which contains its own digest. The file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {f"{_WEIGHTS}{name}": tensor for name, tensor in state.weights.items()}
    momenta = {f"{_MOMENTUM}{name}": tensor for name, tensor in state.momenta.items()}
    own = {_OWN_TEMPERATURE: torch.tensor(state.own_temperature, dtype=torch.float64)} if state.own_temperature else {}
    save_tensors(path, weights | momenta | own, is_sealed=True)


def load_state(path: Path) -> TrialState:
    """Read a state that ``save_state`` wrote. ``check_state`` checks that it fits a network.

    Raises:
        ValueError: If no such file exists.
        ArtifactCorruptError: If the file is damaged.
    """
    if not path.is_file():
        raise ValueError(f"A trial can only continue from a saved state, and {path.name} does not exist.")
    tensors, _ = load_tensors(path)

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    own = tensors[_OWN_TEMPERATURE].tolist() if _OWN_TEMPERATURE in tensors else ()
    return TrialState(weights=part(_WEIGHTS), momenta=part(_MOMENTUM), own_temperature=tuple(own))


def check_state(state: TrialState, network: nn.Module, *, source: str) -> None:
    """Check that a state is finite and fits a network.

    Args:
        state: The state.
        network: The network; its own values do not matter.
        source: Where the state was read, for the message.

    Raises:
        ArtifactCorruptError: If a number in the state is not finite, or the name, shape or type of a tensor differs
            from the network's.
    """
    check_tensors(state.weights, network.state_dict(), source=source)
    # A parameter that never had a gradient, because it is frozen or unused, has no momentum.
    moved = {name: each for name, each in network.named_parameters() if name in state.momenta}
    check_tensors(state.momenta, moved, source=f"the momenta of {source}")
