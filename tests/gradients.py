"""A program of a group of processes: each writes the gradients of one step and the running statistics after it, and in
``received-`` what it received from the other processes.

``python -m tests.gradients FOLDER NUM_SAMPLES ARCHITECTURE-METHOD...`` does each step on one batch of all samples.
"""

import sys
from pathlib import Path

import torch

from peerkd.config.methods import METHODS, Method
from peerkd.training.checkpoints import save_tensors
from peerkd.training.online import group as group_module
from peerkd.training.online.group import ALONE, ProcessGroup, join_group, leave_group
from peerkd.training.online.objectives import loss_parts, num_views
from tests.trainings import Training, make_dataset

SHARED = bytes(range(256)) + b"and some more"


def step(training: Training) -> dict[str, torch.Tensor]:
    """Compute the forward and backward passes of the first step, and return all gradients and updated statistics."""
    state, stepped = training.prepare()
    state.network.train()
    views = num_views(training.method, training.collaboration)
    batch = next(training.samples().batches(0, num_views=views, part=training.group))
    outputs = stepped(batch.images_NCHW, views)
    mean_outputs = state.mean.outputs(batch.images_NCHW, views) if state.mean else None
    parts = loss_parts(training.method, training.collaboration, outputs, batch.labels_B, mean_outputs=mean_outputs)
    share = len(batch.labels_B) * training.group.num_processes / batch.num_samples
    (parts.total(0.5) * share).backward()
    gradients = {f"gradient.{name}": weight.grad for name, weight in state.network.named_parameters()}
    own = {f"own.{name}": buffer.clone() for name, buffer in state.network.named_buffers()}
    training.group.average_statistics([state.network])
    averaged = {f"averaged.{name}": buffer.clone() for name, buffer in state.network.named_buffers()}
    return {**gradients, **own, **averaged}


def training_of(method: Method, architecture: str, num_samples: int, *, group: ProcessGroup = ALONE) -> Training:
    """Return a training whose only batch contains every sample."""
    training = Training(method=method, architecture=architecture, dataset=make_dataset(num_samples), group=group)
    return training.but(recipe=training.recipe.model_copy(update={"batch_size": num_samples}))


def received(group: ProcessGroup) -> dict[str, torch.Tensor]:
    """Return what the first process shares in pieces, and what all processes gather."""
    group_module._SHARED_AT_ONCE_BYTES = 100  # type: ignore[misc]
    shared = group.share(SHARED if group.is_leader else b"")
    nothing = group.share(b"")
    return {
        "shared": torch.tensor(list(shared), dtype=torch.uint8),
        "nothing": torch.tensor(list(nothing), dtype=torch.uint8),
        "gathered": group.gather(torch.tensor([group.rank, 10.0 * group.rank], dtype=torch.float64)),
        "gathered nothing": group.gather(torch.zeros(0)),
    }


if __name__ == "__main__":
    folder, num_samples, *trainings = sys.argv[1:]
    torch.set_num_threads(1)
    group, _ = join_group("cpu")
    for name in trainings:
        architecture, word = name.split("-")
        (method,) = (each for each in METHODS if each == word)
        tensors = step(training_of(method, architecture, int(num_samples), group=group))
        save_tensors(Path(folder) / f"{name}-{group.rank}", tensors)
    save_tensors(Path(folder) / f"received-{group.rank}", received(group))
    leave_group()
