"""The plain loop: one student after another in one process, with the teacher's forward pass in every step.

It uses float32 and the default memory layout of torch. Order and views of the samples come from ``SampleSet``, which
keeps them from trial to trial.

Shape suffixes: G = students, here 1; B = batch, C = image channels, H W = image size, K = classes.
"""

import copy

import torch

from benchmarks.sweep.optimizer import torch_sgd
from benchmarks.sweep.outcome import Outcome
from benchmarks.sweep.study import Study
from benchmarks.sweep.tasks import Task
from peerkd.losses.distillation import joint_loss
from peerkd.training.optimizers import learning_rate_at


def train_student(study: Study, task: Task) -> list[Outcome]:
    """Train one student and evaluate it."""
    recipe, samples = study.recipe, study.samples(task.owners)
    student, teacher = copy.deepcopy(study.peer(task.student)), study.peer(task.teacher)
    optimizer = torch_sgd(student, recipe)
    num_steps = recipe.epochs * samples.num_batches
    student.train()
    for epoch in range(recipe.epochs):
        for index, batch in enumerate(samples.batches(epoch)):
            images_BCHW = batch.images_NCHW.contiguous()
            with torch.no_grad():
                teacher_logits_BK = teacher(images_BCHW)
            step = epoch * samples.num_batches + index
            optimizer.param_groups[0]["lr"] = learning_rate_at(step, num_steps=num_steps, recipe=recipe)
            optimizer.zero_grad()
            loss = joint_loss(
                student(images_BCHW),
                labels_B=batch.labels_B,
                teacher_logits_BK=teacher_logits_BK,
                distillation_weight=task.distillation_weight,
                temperature=task.temperature,
            )
            loss.backward()
            optimizer.step()
    student.eval()
    return study.judge(lambda images_BCHW: student(images_BCHW).unsqueeze(0), [task])
