"""The sweep against what a person would write: one student, one teacher, nothing shared."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from peerkd.data.augment import apply_views, draw_views, normalize
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.models.build import build_network
from peerkd.seeds import derive_seed, generator
from peerkd.training.peers import weights_name
from peerkd.training.plan import Trial, Unit, plan
from peerkd.training.sweep import Sweep


def network(tiny, peer):
    dataset = open_dataset(tiny.dataset)
    built = build_network(
        tiny.config.architectures[peer],
        image_shape_CHW=dataset.image_shape,
        num_classes=dataset.num_classes,
        seed=0,
    )
    built.load_state_dict(load_file(tiny.peers / weights_name(peer)))
    return built


def plain_trial(tiny, unit: Unit, trial: Trial) -> torch.nn.Module:
    """Distil one student by a loop with nothing shared, cached or fused: the teacher runs at every step."""
    config, recipe = tiny.config, tiny.config.distill
    dataset, assignment = open_dataset(tiny.dataset), Assignment.load(tiny.partition)
    indices = np.concatenate([assignment.train[owner] for owner in unit.owners] or [assignment.public])
    name = "+".join(map(str, unit.owners)) or "public"
    student = network(tiny, trial.student)
    teacher = None if unit.teacher is None else network(tiny, unit.teacher).eval()
    optimizer = torch.optim.SGD(
        student.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    num_batches = math.ceil(len(indices) / recipe.batch_size)
    student.train()
    for epoch in range(recipe.epochs):
        order = generator(config.seed, "order", f"distill {name}", epoch).permutation(indices)
        views = draw_views(
            len(dataset.labels_N),
            seed=derive_seed(config.seed, "views"),
            epoch=epoch,
            crop_padding_pixels=config.augmentation.crop_padding_pixels,
            horizontal_flip=config.augmentation.horizontal_flip,
        )
        for step in range(num_batches):
            batch = order[len(order) * step // num_batches : len(order) * (step + 1) // num_batches]
            images = apply_views(torch.from_numpy(dataset.read_images(batch)), views, torch.from_numpy(batch))
            images = normalize(
                images, mean_C=torch.tensor(dataset.channel_mean), std_C=torch.tensor(dataset.channel_std)
            )
            progress = (epoch * num_batches + step) / (recipe.epochs * num_batches)
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * (1 + math.cos(math.pi * progress)) / 2
            logits = student(images)
            weight, temperature = trial.setting.distillation_weight, trial.setting.temperature
            loss = (1 - weight) * F.cross_entropy(logits, torch.from_numpy(dataset.labels_N[batch]))
            if teacher is not None:
                with torch.no_grad():
                    wanted = torch.softmax(teacher(images) / temperature, dim=1)
                got = torch.log_softmax(logits / temperature, dim=1)
                loss = loss + weight * temperature**2 * (wanted * (wanted.log() - got)).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return student


def some_trials(config) -> list[tuple[Unit, Trial]]:
    """Return one trial of every kind: each transfer set, with a teacher and without, for each architecture."""
    chosen = {}
    for unit in plan(config):
        for trial in unit.trials:
            kind = (trial.transfer_set, unit.teacher is None, config.architectures[trial.student])
            chosen[kind] = (unit, trial)
    return list(chosen.values())


def test_each_kind_of_trial_ends_in_the_weights_of_a_plain_loop(tiny):
    sweep = Sweep(tiny.sweep_inputs, device=torch.device("cpu"))
    compared = some_trials(tiny.config)
    assert len(compared) == 2 * (5 + 4)
    for unit, trial in compared:
        # The whole unit is done first, so that anything a trial leaves behind would show in this one.
        alone = Unit(owners=unit.owners, teacher=unit.teacher, trials=(*unit.trials[:2], trial))
        *_, record = sweep.do(alone)
        got = sweep._network(tiny.config.architectures[trial.student]).state_dict()
        wanted = plain_trial(tiny, unit, trial).state_dict()
        # Where this fails, the trial is among the locals that pytest prints.
        for name, tensor in wanted.items():
            torch.testing.assert_close(got[name], tensor, rtol=1e-4, atol=1e-5)
        assert record["student"] == trial.student


def test_a_record_judges_the_weights_that_the_trial_ended_in(tiny):
    sweep = Sweep(tiny.sweep_inputs, device=torch.device("cpu"))
    dataset, assignment = open_dataset(tiny.dataset), Assignment.load(tiny.partition)
    unit = next(unit for unit in plan(tiny.config) if unit.teacher is not None)
    (record,) = sweep.do(Unit(owners=unit.owners, teacher=unit.teacher, trials=unit.trials[:1]))
    student = record["student"]

    def accuracy(judged, indices):
        images = normalize(
            torch.from_numpy(dataset.read_images(indices)),
            mean_C=torch.tensor(dataset.channel_mean),
            std_C=torch.tensor(dataset.channel_std),
        )
        with torch.no_grad():
            predictions = judged.eval()(images).argmax(dim=1).numpy()
        return (predictions == dataset.labels_N[indices]).mean()

    before = network(tiny, student)
    after = sweep._network(tiny.config.architectures[student])
    for split, everyone, own in (
        ("validation", assignment.validation, assignment.own_validation[student]),
        ("test", assignment.test, assignment.own_test[student]),
    ):
        assert record[f"{split}_global_accuracy_before"] == pytest.approx(accuracy(before, everyone))
        assert record[f"{split}_global_accuracy_after"] == pytest.approx(accuracy(after, everyone))
        assert record[f"{split}_own_accuracy_before"] == pytest.approx(accuracy(before, own))
        assert record[f"{split}_own_accuracy_after"] == pytest.approx(accuracy(after, own))
    num_right = np.unpackbits(np.frombuffer(bytes.fromhex(record["test_correct_bits"]), np.uint8)).sum()
    assert num_right / len(assignment.test) == pytest.approx(record["test_global_accuracy_after"])


def test_a_trial_does_not_depend_on_what_was_done_before_it(tiny):
    units = plan(tiny.config)[:3]
    together = Sweep(tiny.sweep_inputs, device=torch.device("cpu"))
    records = [record for unit in units for record in together.do(unit)]
    apart = []
    for unit in units[::-1]:
        for trial in unit.trials[::-1]:
            fresh = Sweep(tiny.sweep_inputs, device=torch.device("cpu"))
            apart += fresh.do(Unit(owners=unit.owners, teacher=unit.teacher, trials=(trial,)))
    assert [without_seconds(record) for record in apart[::-1]] == [without_seconds(record) for record in records]


def without_seconds(record):
    return {name: value for name, value in record.items() if name != "seconds"}
