"""The sweep compared with a straightforward loop: one student, one teacher, nothing shared."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from peerkd.config.data import AugmentationConfig
from peerkd.config.losses import loss_section
from peerkd.config.targets import TargetConfig
from peerkd.data.augment import apply_views, draw_views, normalize
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.losses.pairs import PAIR_LOSSES, dkd, kl
from peerkd.models.build import build_network
from peerkd.seeds import derive_seed, generator
from peerkd.study.transfer_sets import PUBLIC, TRANSFER_SETS
from peerkd.study.trials import Trial, Unit
from peerkd.training.distill import distill, teacher_logits
from peerkd.training.inputs import EngineChoice, EpochRange
from peerkd.training.peers import sample_set, weights_name
from peerkd.training.stacked.losses import FAST_GRADIENTS
from peerkd.training.sweep import SweepRunner
from peerkd.training.sweep_data import SweepData
from peerkd.training.trial_state import load_state, state_path
from tests.pair_losses import WEIGHTED_BRIER
from tests.plans import whole_plan
from tests.sweep_records import records_of, without_seconds

TOLERANCES = {"mlp": 1e-4, "small_cnn": 2e-3}
"""The tolerance, as a fraction of the distance that the weights move.

It allows for rounding alone. Students side by side and the loop agree to 1e-9 in float64, which
``stacked/test_students.py`` tests for every loss. In twenty layers rounding grows too large to be distinguished from a
mistake; those networks are compared bit for bit below, with a loop that rounds equally.
"""


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


def plain_trial(tiny, unit: Unit, trial: Trial, *, join=None) -> torch.nn.Module:
    """Distil one student by a loop with nothing shared, cached or fused: the teacher runs at every step.

    ``join`` makes the target from the logits of the teacher and of the student's old self.
    """
    config, recipe = tiny.config, tiny.config.distill
    dataset = open_dataset(tiny.dataset)
    sets = [
        indices_and_name(tiny, owners)
        for owners in (unit.owners, unit.unlabelled_owners)[: 1 + bool(unit.unlabelled_owners)]
    ]
    student = network(tiny, trial.student)
    teacher = None if unit.teacher is None else network(tiny, unit.teacher).eval()
    optimizer = torch.optim.SGD(
        student.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )

    def augmented_batch(indices, name, step):
        num_batches = math.ceil(len(indices) / recipe.batch_size)
        epoch, place = divmod(step, num_batches)
        order = generator(config.seed, "order", f"distill {name}", epoch).permutation(indices)
        views = draw_views(
            len(dataset.labels_N),
            seed=derive_seed(config.seed, "views"),
            epoch=epoch,
            crop_padding_pixels=config.augmentation.crop_padding_pixels,
            horizontal_flip=config.augmentation.horizontal_flip,
        )
        batch = order[len(order) * place // num_batches : len(order) * (place + 1) // num_batches]
        images = apply_views(torch.from_numpy(dataset.read_images(batch)), views, torch.from_numpy(batch))
        images = normalize(images, mean_C=torch.tensor(dataset.channel_mean), std_C=torch.tensor(dataset.channel_std))
        return batch, images

    num_steps = recipe.epochs * max(math.ceil(len(indices) / recipe.batch_size) for indices, _ in sets)
    student.train()
    for step in range(num_steps):
        parts = [augmented_batch(indices, name, step) for indices, name in sets]
        logits = student(torch.cat([images for _, images in parts]))
        (batch, _), (_, images) = parts[0], parts[-1]
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * (1 + math.cos(math.pi * step / num_steps)) / 2
        weight, temperature = trial.setting.distillation_weight, trial.setting.temperature
        labels = torch.from_numpy(dataset.labels_N[batch])
        loss = (1 - weight) * F.cross_entropy(logits[: len(batch)], labels)
        if teacher is not None:
            with torch.no_grad():
                wanted = torch.softmax(teacher(images) / temperature, dim=1)
                if join is not None:
                    wanted = join(teacher(images), network(tiny, trial.student).eval()(images))
            got = torch.log_softmax(logits[-len(images) :] / temperature, dim=1)
            loss = loss + weight * temperature**2 * (wanted * (wanted.log() - got)).sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return student


def indices_and_name(tiny, owners):
    assignment = Assignment.load(tiny.partition)
    indices = [assignment.public if owner == PUBLIC else assignment.train[owner] for owner in owners or (PUBLIC,)]
    return np.concatenate(indices), "+".join("public" if owner == PUBLIC else str(owner) for owner in owners or (-1,))


def some_trials(config) -> list[tuple[Unit, Trial]]:
    """Return one trial of every kind: each transfer set, with a teacher and without, for each architecture.

    No teacher is the ResNet, because the plain loop computes its logits at every step.
    """
    chosen = {}
    for unit in whole_plan(config):
        for trial in unit.trials if unit.teacher != 2 else ():
            kind = (trial.transfer_set, unit.teacher is None, config.architectures[trial.student])
            chosen[kind] = (unit, trial)
    return list(chosen.values())


def test_each_kind_of_trial_ends_in_the_weights_of_a_plain_loop(tiny, tmp_path):
    sweep = SweepRunner(replace(tiny.sweep_inputs, states_folder=tmp_path), device=torch.device("cpu"))
    architectures = tiny.config.architectures
    compared = [each for each in some_trials(tiny.config) if architectures[each[1].student] in TOLERANCES]
    num_controlled = sum(facts.uses_labels for facts in TRANSFER_SETS.values())
    assert len(compared) == 2 * (len(TRANSFER_SETS) + num_controlled)
    for unit, trial in compared:
        # The other trials of the unit are done first, so that anything they leave behind would show in this one.
        alone = replace(unit, trials=(*unit.trials[:2], trial))
        *_, record = records_of(sweep, alone)
        got = load_state(state_path(tmp_path, trial, num_epochs=tiny.config.distill.epochs)).weights
        wanted, before = plain_trial(tiny, unit, trial).state_dict(), network(tiny, trial.student).state_dict()
        # If this fails, the trial is among the locals that pytest prints.
        for name, tensor in wanted.items():
            change = (tensor - before[name]).double().norm()
            assert (got[name] - tensor).double().norm() <= TOLERANCES[architectures[trial.student]] * change
        assert record["student"] == trial.student


@pytest.mark.parametrize("name", ["student_and_public", "teacher"])
def test_a_target_that_teacher_and_old_self_make_is_that_of_a_plain_loop(tiny, tmp_path, name):
    target = TargetConfig(kind="class_counts", prior_adjusted=True)
    recipe = tiny.config.distill.model_copy(update={"target": target})
    config = tiny.config.model_copy(update={"distill": recipe})
    unit = next(
        unit
        for unit in whole_plan(config)
        if (unit.trials[0].transfer_set, unit.teacher, unit.trials[0].student) == (name, 1, 0)
    )
    trial = next(each for each in unit.trials if each.setting.temperature == 4.0)
    dataset, assignment = open_dataset(tiny.dataset), Assignment.load(tiny.partition)
    counts = [torch.bincount(torch.from_numpy(dataset.labels_N[each]), minlength=10) for each in assignment.train]

    def join(teacher_logits, old_logits):
        sums = torch.zeros_like(teacher_logits)
        for logits, peer in ((teacher_logits, 1), (old_logits, 0)):
            weights = torch.where(counts[0] + counts[1] > 0, counts[peer] / (counts[0] + counts[1]), 0.5)
            sums += weights * torch.softmax((logits - torch.log(1.0 + counts[peer])) / 4, dim=1)
        return sums / sums.sum(dim=1, keepdim=True)

    sweep = SweepRunner(replace(tiny.sweep_inputs, config=config, states_folder=tmp_path), device=torch.device("cpu"))
    # Other trials of the unit have other temperatures, and other students where the set is the teacher's.
    records_of(sweep, replace(unit, trials=(*unit.trials[:2], trial, unit.trials[-1])))
    got = load_state(state_path(tmp_path, trial, num_epochs=2)).weights
    expected, before = plain_trial(tiny, unit, trial, join=join).state_dict(), network(tiny, 0).state_dict()
    of_teacher = plain_trial(tiny, unit, trial).state_dict()
    for weights, tensor in expected.items():
        change = (tensor - before[weights]).double().norm()
        assert (got[weights] - tensor).double().norm() <= TOLERANCES["mlp"] * change
    assert any((tensor - of_teacher[weights]).norm() > 0.01 * tensor.norm() for weights, tensor in expected.items())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_larger_network_ends_in_the_bits_of_the_loop_alone(tiny, tmp_path, precision):
    recipe = tiny.config.distill.model_copy(update={"precision": precision})
    inputs = replace(
        tiny.sweep_inputs, config=tiny.config.model_copy(update={"distill": recipe}), states_folder=tmp_path
    )
    unit, trial = next(
        (unit, trial)
        for unit in whole_plan(tiny.config)
        for trial in unit.trials
        if (trial.student, unit.teacher) == (2, 1)
    )
    cpu = torch.device("cpu")
    # In bfloat16, each trial takes seconds on a CPU.
    others = unit.trials[:2] if precision == "float32" else ()
    records_of(SweepRunner(inputs, device=cpu), replace(unit, trials=(*others, trial)))
    wanted = loop_alone(tiny, unit, trial, recipe)
    got = load_state(state_path(tmp_path, trial, num_epochs=2)).weights
    for name, tensor in wanted.items():
        assert torch.equal(got[name], tensor), name


def loop_alone(tiny, unit, trial, recipe):
    """Return the weights of a student that ``distill`` trains with a recipe."""
    dataset, assignment = open_dataset(tiny.dataset), Assignment.load(tiny.partition)
    samples = sample_set(
        dataset,
        np.concatenate([assignment.train[owner] for owner in unit.owners]),
        name="distill " + "+".join(map(str, unit.owners)),
        batch_size=recipe.batch_size,
        config=tiny.config,
        device=torch.device("cpu"),
    )
    student, teacher = (
        network(tiny, peer).to(memory_format=torch.channels_last) for peer in (trial.student, unit.teacher)
    )
    logits = teacher_logits(teacher, samples, epochs=range(recipe.epochs), mode="eval", precision=recipe.precision)
    distill(
        student,
        samples,
        teacher=logits,
        distillation_weight=trial.setting.distillation_weight,
        temperature=trial.setting.temperature,
        recipe=recipe,
    )
    return student.state_dict()


@pytest.mark.parametrize("loss", [kl.LOSS, dkd.LOSS, WEIGHTED_BRIER], ids=lambda loss: loss.name)
def test_students_side_by_side_end_where_the_loop_ends_and_a_slower_loss_is_reported_once(
    tiny, tmp_path, monkeypatch, loss
):
    monkeypatch.setitem(PAIR_LOSSES, loss.name, loss)
    recipe = tiny.config.distill.model_copy(update={"loss": loss_section(loss).model_validate({})})
    inputs = replace(
        tiny.sweep_inputs, config=tiny.config.model_copy(update={"distill": recipe}), states_folder=tmp_path
    )
    whole = next(each for each in whole_plan(tiny.config) if (each.owners, each.teacher) == ((2,), 2))
    one_of_each = {trial.student: trial for trial in whole.trials}
    assert {tiny.config.architectures[student] for student in one_of_each} == set(TOLERANCES)
    unit = replace(whole, trials=tuple(one_of_each.values()))
    sweep = SweepRunner(inputs, device=torch.device("cpu"))
    news = [made.text for _ in range(2) for made in sweep.do(unit) if isinstance(made, EngineChoice)]
    slower = f"{loss.name}: students side by side use autograd, because no gradient is written by hand for this loss"
    assert news == ([] if loss.name in FAST_GRADIENTS else [slower])
    for trial in unit.trials:
        got = load_state(state_path(tmp_path, trial, num_epochs=recipe.epochs)).weights
        before = network(tiny, trial.student).state_dict()
        for name, tensor in loop_alone(tiny, unit, trial, recipe).items():
            change = (tensor - before[name]).double().norm()
            tolerance = TOLERANCES[tiny.config.architectures[trial.student]]
            assert (got[name] - tensor).double().norm() <= tolerance * change, name


def without_augmentation(tiny, **conventions):
    recipe = tiny.config.distill
    recipe = recipe.model_copy(update={"conventions": recipe.conventions.model_copy(update=conventions)})
    config = tiny.config.model_copy(update={"augmentation": AugmentationConfig(), "distill": recipe})
    return replace(tiny, config=config)


@pytest.mark.parametrize(
    ("is_augmented", "teacher_mode", "num_passes"), [(False, "eval", 1), (False, "train", 2), (True, "eval", 2)]
)
def test_a_teacher_runs_once_if_epochs_do_not_differ(tiny, monkeypatch, is_augmented, teacher_mode, num_passes):
    passed = []

    def counted(teacher, samples, *, epochs, **options):
        passed.append(epochs)
        return teacher_logits(teacher, samples, epochs=epochs, **options)

    monkeypatch.setattr("peerkd.training.sweep_data.teacher_logits", counted)
    experiment = tiny if is_augmented else without_augmentation(tiny, teacher_mode=teacher_mode)
    unit = next(unit for unit in whole_plan(tiny.config) if unit.teacher == 2 and len(unit.owners) == 2)
    sweep = SweepRunner(experiment.sweep_inputs, device=torch.device("cpu"))
    got = sweep.run_teacher(unit)
    assert passed == [range(epoch, epoch + 1) for epoch in range(num_passes)]

    indices = np.concatenate([Assignment.load(tiny.partition).train[owner] for owner in unit.owners])
    samples = sample_set(
        open_dataset(tiny.dataset),
        indices,
        name="distill " + "+".join(map(str, unit.owners)),
        batch_size=experiment.config.distill.batch_size,
        config=experiment.config,
        device=torch.device("cpu"),
    )
    teacher = network(tiny, unit.teacher)
    wanted = teacher_logits(teacher, samples, epochs=range(2), mode=teacher_mode)
    for epoch in range(2):
        for logits, one_by_one in zip(got[epoch], wanted[epoch], strict=True):
            torch.testing.assert_close(logits, one_by_one, rtol=1e-4, atol=1e-4)


def test_a_study_runs_a_teacher_over_an_epoch_of_a_set_once(tiny, tmp_path, monkeypatch):
    passed = []

    def counted(teacher, samples, *, epochs, **options):
        passed.append((len(samples), epochs))
        return teacher_logits(teacher, samples, epochs=epochs, **options)

    monkeypatch.setattr("peerkd.training.sweep_data.teacher_logits", counted)
    unit = next(unit for unit in whole_plan(tiny.config) if unit.teacher == 1 and len(unit.owners) == 2)
    first, second = (replace(unit, trials=unit.trials[place : place + 1]) for place in range(2))
    sweep = SweepRunner(replace(tiny.sweep_inputs, states_folder=tmp_path), device=torch.device("cpu"))
    records_of(sweep, EpochRange(unit=first, first_epoch=0, last_epoch=1))
    records_of(sweep, EpochRange(unit=second, first_epoch=0, last_epoch=2))
    records_of(sweep, EpochRange(unit=first, first_epoch=1, last_epoch=2))
    num_samples = sum(len(Assignment.load(tiny.partition).train[owner]) for owner in unit.owners)
    assert passed == [(num_samples, range(1)), (num_samples, range(1, 2))]


@pytest.mark.parametrize(("kept_bytes", "num_read"), [(2**28, 3), (1, 4)], ids=["all fit", "only two"])
def test_a_study_reads_a_transfer_set_once_if_all_fit(tiny, tmp_path, monkeypatch, kept_bytes, num_read):
    read = []
    read_transfer_set = SweepData._read_transfer_set

    def counted(sweep, owners):
        read.append(owners)
        return read_transfer_set(sweep, owners)

    monkeypatch.setattr(SweepData, "_read_transfer_set", counted)
    monkeypatch.setattr("peerkd.training.cache_sizes._KEPT_SETS_BYTES", kept_bytes)
    units = {(unit.owners, unit.teacher): unit for unit in whole_plan(tiny.config)}
    sweep = SweepRunner(replace(tiny.sweep_inputs, states_folder=tmp_path), device=torch.device("cpu"))
    # Each time another teacher, because a teacher's logits are kept as well.
    for owner, teacher in ((0, 1), (1, 0), (1, 2), (2, 0), (2, 1), (0, 2)):
        sweep.run_teacher(units[(owner,), teacher])
    assert len(read) == num_read


def test_a_record_evaluates_the_final_weights_of_the_trial(tiny, tmp_path):
    sweep = SweepRunner(replace(tiny.sweep_inputs, states_folder=tmp_path), device=torch.device("cpu"))
    dataset, assignment = open_dataset(tiny.dataset), Assignment.load(tiny.partition)
    unit = next(unit for unit in whole_plan(tiny.config) if unit.teacher is not None)
    (trial,) = unit.trials[:1]
    (record,) = records_of(sweep, replace(unit, trials=(trial,)))
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
    after = network(tiny, student)
    after.load_state_dict(load_state(state_path(tmp_path, trial, num_epochs=tiny.config.distill.epochs)).weights)
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
    units = [replace(unit, trials=unit.trials[::3]) for unit in whole_plan(tiny.config)[:2]]
    together = SweepRunner(tiny.sweep_inputs, device=torch.device("cpu"))
    records = [record for unit in units for record in records_of(together, unit)]
    apart = []
    for unit in units[::-1]:
        for trial in unit.trials[::-1]:
            fresh = SweepRunner(tiny.sweep_inputs, device=torch.device("cpu"))
            apart += records_of(fresh, replace(unit, trials=(trial,)))
    assert [without_seconds(record) for record in apart[::-1]] == [without_seconds(record) for record in records]
