"""The peers' networks and the samples they train on, as one experiment describes them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from peerkd.config.experiment import ExperimentConfig
from peerkd.data.dataset import ImageDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.models.build import build_network, num_parameters
from peerkd.seeds import derive_seed
from peerkd.training.checkpoints import save_tensors
from peerkd.training.evaluate import Judge
from peerkd.training.inputs import EpochDone, PretrainInputs
from peerkd.training.pretrain import pretrain
from peerkd.training.samples import SampleSet
from peerkd.training.workers import Perform


def weights_name(peer: int) -> str:
    """Return the name of the file with a peer's weights."""
    return f"peer-{peer:03d}.safetensors"


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
        seed=config.seed,
        device=device,
    )


def worker_device(device: str, *, worker: int) -> torch.device:
    """Return the device of a worker: its own GPU, counted round, or the CPU."""
    if device == "cuda":
        return torch.device("cuda", worker % torch.cuda.device_count())
    return torch.device(device)


def start(inputs: PretrainInputs, *, worker: int) -> Perform:
    """Open the data in a worker process and return what trains one peer there.

    It yields an ``EpochDone`` after each epoch, and at the end the peer's record.
    """
    config = inputs.config
    device = worker_device(inputs.device, worker=worker)
    dataset = open_dataset(inputs.dataset_folder)
    assignment = Assignment.load(inputs.partition_folder)
    judge = Judge(dataset, assignment, device=device)

    def perform(peer: int) -> Iterator[EpochDone | dict[str, Any]]:
        architecture = config.architectures[peer]
        network = build_peer(architecture, dataset, seed=derive_seed(config.seed, "weights", peer)).to(device)
        samples = sample_set(
            dataset,
            assignment.train[peer],
            name=f"pretrain {peer}",
            batch_size=config.pretrain.batch_size,
            config=config,
            device=device,
        )
        checkpoint = inputs.checkpoints_folder / weights_name(peer)
        for num_epochs in pretrain(network, samples, recipe=config.pretrain, checkpoint=checkpoint):
            yield EpochDone(peer, num_epochs)
        save_tensors(inputs.weights_folder / weights_name(peer), network.state_dict())
        yield {
            "peer": peer,
            "architecture": architecture,
            "num_parameters": num_parameters(network),
            "num_train_samples": len(samples),
            **judge.accuracies(judge.predict(network, peer=peer), peer=peer),
        }

    return perform
