"""Networks, training samples and pre-training of the peers, as an experiment's config specifies them.

Shape suffixes: C = image channels, H W = image size, K = classes.
"""

from collections import OrderedDict
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from peerkd.config.architectures import ARCHITECTURE_FACTS
from peerkd.config.given_peers import PeerNetwork, class_indices
from peerkd.config.methods import Method
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.dataset import ImageDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.models.adapter import Normalization, adapt_input, adapt_output
from peerkd.models.branched import CLASSIFIER, BranchedNetwork
from peerkd.models.build import build_network, num_parameters
from peerkd.models.installed import build_installed
from peerkd.models.memory_format import keep_contiguous, to_channels_last
from peerkd.seeds import derive_seed
from peerkd.training.checkpoints import copy_state, save_tensors
from peerkd.training.devices import gpu_bytes, placed, process_device
from peerkd.training.evaluate import Evaluator
from peerkd.training.finite import all_answered, are_finite
from peerkd.training.inputs import EpochDone, PretrainInputs, peer_name
from peerkd.training.online.export import deployed_state
from peerkd.training.online.loop import train
from peerkd.training.online.objectives import build_for_method
from peerkd.training.online.state import prepare
from peerkd.training.own_weights import load_own_weights
from peerkd.training.process_pool import TaskFunction
from peerkd.training.samples import SampleSet

METHOD_OF_PRETRAINING: Final[Mapping[str, Method]] = {"cross_entropy": "plain", "pcl": "pcl"}


def weights_name(peer: int) -> str:
    """Return the name of the file with a peer's weights."""
    return f"{peer_name(peer)}.safetensors"


def build_peer(network: PeerNetwork, dataset: ImageDataset, *, seed: int) -> nn.Module:
    """Build an untrained network for the images and classes of a data set, in channels-last memory.

    Raises:
        ValueError: If a network of an installed package cannot be built, or the network declares a class that the data
            set does not have.
    """
    study = Normalization(dataset.channel_mean, dataset.channel_std)
    return build_adapted(network, dataset.image_shape, study=study, class_names=dataset.class_names, seed=seed)


def build_adapted(
    network: PeerNetwork,
    image_shape_CHW: tuple[int, int, int],
    *,
    study: Normalization,
    class_names: Sequence[str],
    seed: int,
) -> nn.Module:
    """Build an untrained network, with an adapter if it needs one, in channels-last memory.

    A network of another package that fails in channels-last memory is built in contiguous memory.

    Args:
        network: The network. An adapter is needed if the network declares its own image size, normalisation or classes.
        image_shape_CHW: The shape of the images of the study.
        study: The normalisation of the images of the study.
        class_names: The names of the classes of the study.
        seed: The seed of the weights.

    Raises:
        ValueError: If a network of an installed package cannot be built, or the network declares a class that the study
            does not have.
    """
    module = build_own(network, image_shape_CHW, num_classes=len(class_names), seed=seed)
    own, size = own_normalization(network), network.image_size_pixels
    if own or size:
        adapt_input(module, study=study, own=own, image_size_pixels=size)
    if network.classes is not None:
        adapt_output(module, classes=class_indices(network.classes, class_names), num_classes=len(class_names))
    if not network.is_built_in and _needs_contiguous(network, image_shape_CHW, num_classes=len(class_names)):
        keep_contiguous(module)
    return to_channels_last(module)


@cache
def _needs_contiguous(network: PeerNetwork, image_shape_CHW: tuple[int, int, int], *, num_classes: int) -> bool:
    """Return whether a network of another package works only with tensors in contiguous memory.

    ``Tensor.view``, for example, cannot flatten the output of a convolution in channels-last memory. The result is the
    same in every process, because it depends only on whether calls of the network fail.
    """
    num_channels, height, width = own_shape(network, image_shape_CHW)
    images_BCHW = torch.zeros(2, num_channels, height, width)

    def works(memory_format: torch.memory_format) -> bool:
        module = build_own(network, image_shape_CHW, num_classes=num_classes, seed=0).to(memory_format=memory_format)
        try:
            for is_training in (False, True):
                module.train(is_training)(images_BCHW.contiguous(memory_format=memory_format))
        except Exception:  # The check of given peers reports what the network raises.
            return False
        return True

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        return not works(torch.channels_last) and works(torch.contiguous_format)


def build_own(network: PeerNetwork, image_shape_CHW: tuple[int, int, int], *, num_classes: int, seed: int) -> nn.Module:
    """Build an untrained network without its adapter.

    A network may declare its own image size, channels and classes. Whatever it does not declare is taken from the
    study.

    Args:
        network: The network.
        image_shape_CHW: The shape of the images of the study.
        num_classes: The number of classes of the study.
        seed: The seed of the weights.

    Raises:
        ValueError: If a network of an installed package cannot be built.
    """
    num_outputs = num_classes if network.classes is None else len(network.classes)
    if network.is_built_in:
        shape_CHW = own_shape(network, image_shape_CHW)
        return build_network(network.name, image_shape_CHW=shape_CHW, num_classes=num_outputs, seed=seed)
    return build_installed(network.name, num_classes=num_outputs, seed=seed)


def own_shape(network: PeerNetwork, image_shape_CHW: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of the images that a network takes, given the shape of the study's images."""
    num_channels, height, width = image_shape_CHW
    size, own = network.image_size_pixels, own_normalization(network)
    return own.num_channels if own else num_channels, size or height, size or width


def own_normalization(network: PeerNetwork) -> Normalization | None:
    """Return the normalisation that a network declares for its images; None if it uses the study's normalisation."""
    return None if network.mean is None or network.std is None else Normalization(network.mean, network.std)


def known_classes(network: PeerNetwork, dataset: ImageDataset, *, device: torch.device) -> Tensor | None:
    """Return whether a network knows each class of a data set, ``known_K``; None if it knows all of them."""
    if network.classes is None or len(network.classes) == dataset.num_classes:
        return None
    known_K = torch.zeros(dataset.num_classes, dtype=torch.bool, device=device)
    known_K[class_indices(network.classes, dataset.class_names)] = True
    return known_K


def sample_set(
    dataset: ImageDataset,
    indices_N: npt.NDArray[np.int64],
    *,
    name: str,
    batch_size: int,
    config: PeerExperimentConfig,
    device: torch.device,
    **limits: int,
) -> SampleSet:
    """Return a set of training samples whose batches have the augmentation and the seed of an experiment.

    Args:
        dataset: The data set with the images.
        indices_N: The indices of the samples in the data set.
        name: A name that distinguishes the set's random order from the orders of other sets.
        batch_size: The size of the largest batch.
        config: The config of the experiment.
        device: The device of the batches.
        **limits: Limits on the memory of the set: ``cache_bytes`` and ``resident_bytes`` of ``SampleSet``.
    """
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
        **limits,
    )


def start(inputs: PretrainInputs, *, process_index: int) -> TaskFunction:
    """Open the data in a process and return a function that trains one peer there, or imports its weights.

    The function yields an ``EpochDone`` after each epoch, and at the end the peer's record.
    """
    config = inputs.config
    device = process_device(inputs.device, process_index=process_index)
    dataset = open_dataset(inputs.dataset_folder)
    assignment = Assignment.load(inputs.partition_folder)
    evaluator = Evaluator(dataset, assignment, device=device)

    def perform(peer: int) -> Iterator[EpochDone | dict[str, Any]]:
        given = inputs.given_weights[peer] if inputs.given_weights else None
        if given is None:
            weights, ended_finite = yield from pretrain(peer)
        else:
            weights, ended_finite = import_weights(peer, given), True
        deployed = placed(build_peer(config.networks[peer], dataset, seed=0), device)
        copy_state(weights, deployed)
        predictions = evaluator.predict(deployed, peer=peer)
        if given is not None and not all_answered(predictions):
            raise ValueError(
                f"{config.section_of_weights(peer)}weights must give finite logits for all evaluation samples, got NaN "
                f"or infinite logits of {config.describe_peer(peer)}."
            )
        is_finite = ended_finite and are_finite(weights.values()) and all_answered(predictions)
        accuracies = evaluator.accuracies(predictions, peer=peer)
        if is_finite:
            save_tensors(inputs.weights(peer), weights)
        yield {
            "peer": peer,
            "architecture": config.architectures[peer],
            "num_parameters": num_parameters(deployed),
            "num_train_samples": len(assignment.train[peer]),
            "is_finite": is_finite,
            **(accuracies if is_finite else dict.fromkeys(accuracies)),
        }

    def import_weights(peer: int, path: Path) -> dict[str, Tensor]:
        try:
            network = build_peer(config.networks[peer], dataset, seed=0)
            return load_own_weights(path, network, name=config.architectures[peer])
        except ValueError as error:
            raise ValueError(f"{config.section_of_weights(peer)}{error}") from error

    def pretrain(peer: int) -> Generator[EpochDone, None, tuple[dict[str, Tensor], bool]]:
        """Train one peer. Yield each finished epoch; return the weights, and whether the training is finite."""
        network, recipe = config.networks[peer], config.pretrain
        method = METHOD_OF_PRETRAINING[recipe.method]
        trained = _build_for_pretraining(config, network, dataset, seed=derive_seed(config.seed, "weights", peer))
        if not network.is_plain:
            # Networks of other packages may draw random numbers in training, as dropout does. Checkpoints contain the
            # state of the generators.
            torch.manual_seed(derive_seed(config.seed, "noise", peer))
        state, stepped = prepare(
            trained, method=method, collaboration=recipe.collaboration, recipe=recipe, device=device
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
        if not network.is_plain:
            weights = {name.removeprefix(f"{CLASSIFIER}."): tensor for name, tensor in weights.items()}
        return weights, state.ended_finite

    return perform


def _build_for_pretraining(
    config: PeerExperimentConfig, network: PeerNetwork, dataset: ImageDataset, *, seed: int
) -> BranchedNetwork:
    """Build the branched network that the method of pre-training trains.

    A network that has an adapter, or that another Python package provides, is not divided into blocks. As a whole, it
    becomes the only branch.
    """
    recipe = config.pretrain
    if not network.is_plain:
        block = build_peer(network, dataset, seed=seed)
        return BranchedNetwork(nn.Sequential(), [nn.Sequential(OrderedDict({CLASSIFIER: block}))])
    return build_for_method(
        METHOD_OF_PRETRAINING[recipe.method],
        recipe.collaboration,
        architecture=network.name,
        branch_point=recipe.collaboration.branch_point or ARCHITECTURE_FACTS[network.name].branch_point,
        image_shape_CHW=dataset.image_shape,
        num_classes=dataset.num_classes,
        seed=seed,
    )
