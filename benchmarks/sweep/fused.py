"""Several students as one network: by torch.func.vmap, and by convolutions whose groups are the students.

The programs use float32 and the default memory layout of torch. Students share batches and the teacher's forward pass.

Shape suffixes: G = students, B = batch, C = image channels, H W = image size, F = features, K = classes.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from benchmarks.sweep.optimizer import torch_sgd
from benchmarks.sweep.outcome import Outcome
from benchmarks.sweep.study import Study
from benchmarks.sweep.tasks import Task
from peerkd.losses.distillation import joint_loss
from peerkd.training.optimizers import learning_rate_at

Way = Literal["vmap", "grouped"]


class Stacked(nn.Module):
    """Students whose forward passes run as one by ``torch.vmap``: ``images_BCHW -> logits_GBK``."""

    def __init__(self, students: Sequence[nn.Module]) -> None:
        super().__init__()
        parameters, buffers = stack_module_state(list(students))
        self._names = list(parameters)
        self._stacked = nn.ParameterList(parameters.values())
        self._buffers_of_students = buffers
        # The list hides the skeleton from torch, so that its parameters are not parameters of this module.
        self._skeleton = [copy.deepcopy(students[0])]

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Run all students on the same images."""
        skeleton = self._skeleton[0].train(self.training)

        def run(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            logits_BK: Tensor = functional_call(skeleton, (parameters, buffers), (images_BCHW,))
            return logits_BK

        parameters = dict(zip(self._names, self._stacked, strict=True))
        logits_GBK: Tensor = torch.vmap(run)(parameters, self._buffers_of_students)
        return logits_GBK


class Grouped(nn.Module):
    """One network whose channels contain those of all students side by side: ``images_BCHW -> logits_GBK``."""

    def __init__(self, students: Sequence[nn.Module]) -> None:
        super().__init__()
        self._num_students = len(students)
        self._network = copy.deepcopy(students[0])
        # All students read the same images, so the first layer has no groups, only more outputs.
        is_first = True
        for name, module in students[0].named_modules():
            alike = [student.get_submodule(name) for student in students]
            if isinstance(module, nn.Conv2d):
                self._network.set_submodule(name, _join_convolutions(alike, is_first=is_first))
            elif isinstance(module, nn.Linear):
                self._network.set_submodule(name, JoinedLinear(alike, is_first=is_first))
            elif isinstance(module, nn.BatchNorm2d):
                self._network.set_submodule(name, _join_batch_norms(alike))
            is_first = is_first and not isinstance(module, nn.Conv2d | nn.Linear)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Run all students on the same images."""
        return self._network(images_BCHW).unflatten(1, (self._num_students, -1)).transpose(0, 1)


class JoinedLinear(nn.Module):
    """The linear layers of all students, computed as one batched product."""

    def __init__(self, layers: Sequence[nn.Module], *, is_first: bool) -> None:
        super().__init__()
        self._is_first = is_first
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().t() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach()[None] for layer in layers]))

    def forward(self, features: Tensor) -> Tensor:
        """Return the outputs of the layers, side by side in the second dimension.

        The input has the features of all students side by side. If this is the first layer, it has the features that
        all students share.
        """
        num_students = len(self.weight)
        if self._is_first:
            features_GBF = features.expand(num_students, -1, -1)
        else:
            features_GBF = features.unflatten(1, (num_students, -1)).transpose(0, 1)
        return torch.baddbmm(self.bias, features_GBF, self.weight).transpose(0, 1).flatten(1)


_WAYS: dict[Way, Callable[[Sequence[nn.Module]], nn.Module]] = {"vmap": Stacked, "grouped": Grouped}


def train_group(study: Study, way: Way, tasks: list[Task]) -> list[Outcome]:
    """Train and evaluate the students of a group of trials. All trials must have the same samples."""
    recipe, samples = study.recipe, study.samples(tasks[0].owners)
    students = _WAYS[way]([study.peer(task.student) for task in tasks]).to(study.device)
    optimizer = torch_sgd(students, recipe)
    num_steps = recipe.epochs * samples.num_batches
    students.train()
    for epoch in range(recipe.epochs):
        for index, batch in enumerate(samples.batches(epoch)):
            images_BCHW = batch.images_NCHW.contiguous()
            with torch.no_grad():
                teacher_logits_BK = {task.teacher: study.peer(task.teacher)(images_BCHW) for task in tasks}
            step = epoch * samples.num_batches + index
            optimizer.param_groups[0]["lr"] = learning_rate_at(step, num_steps=num_steps, recipe=recipe)
            optimizer.zero_grad()
            losses = [
                joint_loss(
                    logits_BK,
                    labels_B=batch.labels_B,
                    teacher_logits_BK=teacher_logits_BK[task.teacher],
                    distillation_weight=task.distillation_weight,
                    temperature=task.temperature,
                )
                for task, logits_BK in zip(tasks, students(images_BCHW), strict=True)
            ]
            torch.stack(losses).sum().backward()
            optimizer.step()
    students.eval()
    return study.judge(students, tasks)


def _join_convolutions(layers: Sequence[nn.Module], *, is_first: bool) -> nn.Conv2d:
    first = layers[0]
    assert isinstance(first, nn.Conv2d)
    num_students = len(layers)
    joined = nn.Conv2d(
        first.in_channels * (1 if is_first else num_students),
        first.out_channels * num_students,
        kernel_size=first.kernel_size,  # type: ignore[arg-type]
        stride=first.stride,  # type: ignore[arg-type]
        padding=first.padding,  # type: ignore[arg-type]
        groups=1 if is_first else num_students,
        bias=False,
    )
    joined.weight = nn.Parameter(torch.cat([layer.weight.detach() for layer in layers]))
    return joined


def _join_batch_norms(layers: Sequence[nn.Module]) -> nn.BatchNorm2d:
    first = layers[0]
    assert isinstance(first, nn.BatchNorm2d)
    joined = nn.BatchNorm2d(first.num_features * len(layers), eps=first.eps, momentum=first.momentum).to(first.weight)
    states = [layer.state_dict() for layer in layers]
    joined.load_state_dict(
        {
            name: torch.cat([state[name] for state in states]) if value.dim() else value
            for name, value in states[0].items()
        }
    )
    return joined
