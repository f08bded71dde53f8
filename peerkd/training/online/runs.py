"""The runs of a comparison of methods, each with one architecture, one method and one seed."""

from collections.abc import Iterator

import torch

from peerkd.config.architectures import ARCHITECTURE_FACTS
from peerkd.config.pcl import Run
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.models.build import num_parameters
from peerkd.seeds import derive_seed
from peerkd.training.devices import gpu_bytes, process_device
from peerkd.training.inputs import RunDone, RunEpochDone, RunInputs
from peerkd.training.online.evaluate import make_evaluate
from peerkd.training.online.export import export_networks
from peerkd.training.online.group import ALONE, ProcessGroup
from peerkd.training.online.loop import train
from peerkd.training.online.objectives import build_for_method
from peerkd.training.online.state import prepare
from peerkd.training.process_pool import TaskFunction
from peerkd.training.samples import SampleSet


def start(inputs: RunInputs, *, process_index: int) -> TaskFunction:
    """Open the data in a process and return a function that does one run there.

    The function yields a ``RunEpochDone`` after each epoch, and a ``RunDone`` at the end.
    """
    return open_runs(inputs, device=process_device(inputs.device, process_index=process_index))


def open_runs(inputs: RunInputs, *, device: torch.device, group: ProcessGroup = ALONE) -> TaskFunction:
    """Open the data, and return a function that does one run, either alone or as one process of a group."""
    config = inputs.config
    dataset = open_dataset(inputs.dataset_folder)
    split = Assignment.load(inputs.split_folder)
    evaluate = make_evaluate(dataset, {"validation": split.validation, "test": split.test}, device=device)

    def perform(run: Run) -> Iterator[RunEpochDone | RunDone]:
        branch_point = config.collaboration.branch_point or ARCHITECTURE_FACTS[run.architecture].branch_point
        network = build_for_method(
            run.method,
            config.collaboration,
            architecture=run.architecture,
            branch_point=branch_point,
            image_shape_CHW=dataset.image_shape,
            num_classes=dataset.num_classes,
            seed=derive_seed(run.seed, "weights"),
        )
        state, stepped = prepare(
            network,
            method=run.method,
            collaboration=config.collaboration,
            recipe=config.training,
            device=device,
            group=group,
            synchronise_batch_norm=config.training.synchronise_batch_norm,
        )
        samples = SampleSet(
            dataset,
            split.train[0],
            name="train",
            batch_size=config.training.batch_size,
            crop_padding_pixels=config.augmentation.crop_padding_pixels,
            horizontal_flip=config.augmentation.horizontal_flip,
            resized_crop_min_area_fraction=config.augmentation.resized_crop_min_area_fraction,
            seed=run.seed,
            device=device,
            cache_bytes=0,
        )
        # Training itself draws nothing from the global generator, but an architecture from elsewhere may.
        torch.manual_seed(derive_seed(run.seed, "training", group.rank))
        epochs = train(
            state,
            samples,
            network=stepped,
            method=run.method,
            collaboration=config.collaboration,
            recipe=config.training,
            precision=config.training.precision,
            checkpoint=inputs.checkpoint(run),
            checkpoint_steps=config.compute.checkpoint_steps,
            evaluate=evaluate,
            evaluate_every_epochs=config.evaluation.every_epochs,
            group=group,
        )
        for num_epochs in epochs:
            yield RunEpochDone(run, num_epochs, len(samples), state.history[-1], gpu_bytes(device))
        is_finite = state.ended_finite
        if group.is_leader and is_finite:
            export_networks(
                state,
                run.method,
                architecture=run.architecture,
                branch_point=branch_point,
                image_shape_CHW=dataset.image_shape,
                num_classes=dataset.num_classes,
                path=inputs.network(run),
                ensemble_path=inputs.ensemble(run),
            )
        yield RunDone(
            {
                **run._asdict(),
                "num_training_parameters": num_parameters(state.network),
                "num_deployed_parameters": num_parameters(network.trunk) + num_parameters(network.branches[0]),
                "num_samples_per_epoch": len(samples),
                "is_finite": is_finite,
                "history": state.history,
                "seconds": state.seconds,
            }
        )

    return perform
