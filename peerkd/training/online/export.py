"""Export of trained networks as files that can be used without the code and the settings of their training."""

import json
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from peerkd.config.methods import METHODS, Method, deployed_predictor
from peerkd.errors import ArtifactCorruptError
from peerkd.models.branched import BranchedNetwork
from peerkd.models.exported import build_exported
from peerkd.training.checkpoints import check_tensors, copy_state, load_tensors, save_tensors
from peerkd.training.online.state import TrainingState

_MEAN: Final = "mean_"
_BRANCH: Final = "branch_"


def deployed_state(state: TrainingState, method: Method) -> dict[str, Tensor]:
    """Return the tensors of the plain network that a method deploys, named as ``build_network`` names them."""
    network, predictor = _find(state, deployed_predictor(method, num_branches=state.network.num_branches))
    return network.plain_state(int(predictor.removeprefix(_BRANCH)) - 1)


def export_networks(
    state: TrainingState,
    method: Method,
    *,
    architecture: str,
    branch_point: str | None,
    image_shape_CHW: tuple[int, int, int],
    num_classes: int,
    path: Path,
    ensemble_path: Path,
) -> None:
    """Write the network that a method deploys, and the ensemble if the method has one, for ``load_exported``.

    Args:
        state: The state of the finished training.
        method: The method of the training.
        architecture: The architecture of the network, as in ``build_network``.
        branch_point: The first block that each branch has for itself, if the branches share a trunk.
        image_shape_CHW: The shape of the images.
        num_classes: K.
        path: The file for the deployed network.
        ensemble_path: The file for the ensemble, which is written only if the method has an ensemble.
    """
    description = {"architecture": architecture, "image_shape": image_shape_CHW, "num_classes": num_classes}
    _save(path, deployed_state(state, method), description)
    facts = METHODS[method]
    if facts.ensemble is None:
        return
    network, predictor = _find(state, facts.ensemble)
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    _save(
        ensemble_path,
        tensors,
        {
            **description,
            "num_branches": network.num_branches,
            "branch_point": branch_point if facts.shares_trunk else None,
            "head": facts.head,
            "combine": predictor,
        },
    )


def load_exported(path: Path) -> nn.Module:
    """Read a network that ``export_networks`` wrote, in evaluation mode: ``images_BCHW -> logits_BK``.

    Images must be normalised as in training: ``(pixels / 255 - mean) / deviation`` of the data set's channels.

    Raises:
        ArtifactCorruptError: If the file is damaged, or does not contain the finite network that it describes.
    """
    tensors, metadata = load_tensors(path)
    try:
        network = build_exported(json.loads(metadata["network"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactCorruptError(f"{path} must describe the network that it contains, got another file.") from error
    check_tensors(tensors, network.state_dict(), source=str(path))
    copy_state(tensors, network)
    return network.eval().to(memory_format=torch.channels_last)


def _find(state: TrainingState, predictor: str) -> tuple[BranchedNetwork, str]:
    """Return the network that contains a predictor, and the predictor's name in it."""
    if not predictor.startswith(_MEAN):
        return state.network, predictor
    assert state.mean is not None
    return state.mean.network, predictor.removeprefix(_MEAN)


def _save(path: Path, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    save_tensors(path, tensors, {"network": json.dumps(description)})
