"""Networks, training samples and pre-training of the peers, as an experiment's config specifies them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from peerkd.config.architectures import ARCHITECTURE_FACTS
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.methods import Method
from peerkd.data.dataset import ImageDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.models.build import build_network, num_parameters
from peerkd.seeds import derive_seed
from peerkd.training.checkpoints import copy_state, save_tensors
from peerkd.training.devices import gpu_bytes, process_device
from peerkd.training.evaluate import Evaluator
from peerkd.training.finite import all_answered, are_finite
from peerkd.training.inputs import EpochDone, PretrainInputs, peer_name
from peerkd.training.online.export import deployed_state
from peerkd.training.online.loop import train
from peerkd.training.online.objectives import build_for_method
from peerkd.training.online.state import prepare
from peerkd.training.process_pool import TaskFunction
from peerkd.training.samples import SampleSet

METHOD_OF_PRETRAINING: Final[Mapping[str, Method]] = {"cross_entropy": "plain", "pcl": "pcl"}


def weights_name(peer: int) -> str:
    """Return the name of the file with a peer's weights."""
    return f"{peer_name(peer)}.safetensors"


def build_peer(architecture: str, dataset: ImageDataset, *, seed: int) -> nn.Module:
    """Build an untrained network for the images and classes of a data set, in channels-last memory."""
    network = build_network(
        architecture, image_shape_CHW=dataset.image_shape, num_classes=dataset.num_classes, seed=seed
    )
    return network.to(memory_format=torch.channels_last)


def sample_set(
    dataset: ImageDataset,
    indices_N: npt.NDArray[np.int64],
    *,
    name: str,
    batch_size: int,
    config: ExperimentConfig,
    device: torch.device,
) -> SampleSet:
    """Return training samples with the augmentation and seed of an experiment."""
    return SampleSet(
        dataset,
        indices_N,
        name=name,
        batch_size=batch_size,
        crop_padding_pixels=config.augmentation.crop_padding_pixels,
        horizontal_flip=config.augmentation.horizontal_flip,
        resized_crop_min_area_fraction=config.augmentation.resized_crop_min_area_fraction,
        seed=config.seed,
        device=device,
    )


def start(inputs: PretrainInputs, *, process_index: int) -> TaskFunction:
    """Open the data in a process and return a function that trains one peer there.

    The function yields an ``EpochDone`` after each epoch, and at the end the peer's record.
    """
    config = inputs.config
    device = process_device(inputs.device, process_index=process_index)
    dataset = open_dataset(inputs.dataset_folder)
    assignment = Assignment.load(inputs.partition_folder)
    evaluator = Evaluator(dataset, assignment, device=device)

    def perform(peer: int) -> Iterator[EpochDone | dict[str, Any]]:
        architecture = config.architectures[peer]
        recipe = config.pretrain
        method = METHOD_OF_PRETRAINING[recipe.method]
        network = build_for_method(
            method,
            recipe.collaboration,
            architecture=architecture,
            branch_point=recipe.collaboration.branch_point or ARCHITECTURE_FACTS[architecture].branch_point,
            image_shape_CHW=dataset.image_shape,
            num_classes=dataset.num_classes,
            seed=derive_seed(config.seed, "weights", peer),
        )
        state, stepped = prepare(
            network, method=method, collaboration=recipe.collaboration, recipe=recipe, device=device
        )
        samples = sample_set(
            dataset,
            assignment.train[peer],
            name=f"pretrain {peer}",
            batch_size=recipe.batch_size,
            config=config,
            device=device,
        )
        epochs = train(
            state,
            samples,
            network=stepped,
            method=method,
            collaboration=recipe.collaboration,
            recipe=recipe,
            precision=recipe.precision,
            checkpoint=inputs.checkpoint(peer),
        )
        for num_epochs in epochs:
            yield EpochDone(peer, num_epochs, len(samples), gpu_bytes(device))
        weights = deployed_state(state, method)
        deployed = build_peer(architecture, dataset, seed=0).to(device)
        copy_state(weights, deployed)
        predictions = evaluator.predict(deployed, peer=peer)
        is_finite = state.ended_finite and are_finite(weights.values()) and all_answered(predictions)
        accuracies = evaluator.accuracies(predictions, peer=peer)
        if is_finite:
            save_tensors(inputs.weights(peer), weights)
        yield {
            "peer": peer,
            "architecture": architecture,
            "num_parameters": num_parameters(deployed),
            "num_train_samples": len(samples),
            "is_finite": is_finite,
            **(accuracies if is_finite else dict.fromkeys(accuracies)),
        }

    return perform
