import itertools
import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.methods import METHODS, Method
from peerkd.errors import ArtifactCorruptError
from peerkd.models.build import build_network
from peerkd.training.checkpoints import load_tensors, save_tensors
from peerkd.training.online.evaluate import make_evaluate
from tests.conftest import IS_SLOW
from tests.trainings import NUM_CLASSES, Training, all_tensors

T = 3.0


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_plain_training_is_the_plain_loop_to_the_last_bit(training, tmp_path):
    training = training.but(method="plain")
    state = training.run(tmp_path / "c")

    network = build_network("small_cnn", image_shape_CHW=(1, 8, 8), num_classes=NUM_CLASSES, seed=0)
    network = network.to(memory_format=torch.channels_last).train()
    recipe, samples = training.recipe, training.samples()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for epoch in range(recipe.epochs):
        for index, batch in enumerate(samples.batches(epoch)):
            progress = (epoch * samples.num_batches + index) / (recipe.epochs * samples.num_batches)
            optimizer.param_groups[0]["lr"] = 0.05 * 0.1 ** ((progress >= 0.5) + (progress >= 0.75))
            optimizer.zero_grad()
            F.cross_entropy(network(batch.images_NCHW), batch.labels_B).backward()
            optimizer.step()
    assert_equal(dict(network.state_dict()), state.network.plain_state(0))


def divergence(teacher_BK: Tensor, student_BK: Tensor) -> Tensor:
    p = (teacher_BK / T).softmax(1)
    return T * T * (p * (p.log() - (student_BK / T).softmax(1).log())).sum() / len(p)


def straightforward_pcl(training: Training) -> Iterator[tuple[torch.nn.Module, torch.nn.Module]]:
    """Train as the paper describes: one pass for each view and branch, pairs in a loop, the mean tensor by tensor."""
    state, _ = training.prepare()
    network, mean = state.network, state.mean.network
    samples, recipe = training.samples(), training.recipe
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    step = 0
    for epoch in range(recipe.epochs):
        w = math.exp(-5 * (1 - epoch / 2) ** 2) if epoch < 2 else 1.0
        for batch in samples.batches(epoch, num_views=3):
            progress = step / (recipe.epochs * samples.num_batches)
            optimizer.param_groups[0]["lr"] = 0.05 * 0.1 ** ((progress >= 0.5) + (progress >= 0.75))
            network.train()
            mean.train()
            views = batch.images_NCHW.chunk(3)

            def forward(model, views=views):
                features, logits = [], []
                for view, branch in zip(views, model.branches, strict=True):
                    features.append(branch.pool(branch.stage2(model.trunk(view))))
                    logits.append(branch.classifier(features[-1]))
                return logits, model.head.classifier(torch.cat(features, dim=1))

            logits, ensemble = forward(network)
            with torch.no_grad():
                targets, _ = forward(mean)
            loss = F.cross_entropy(ensemble, batch.labels_B)
            for j in range(3):
                loss = loss + F.cross_entropy(logits[j], batch.labels_B)
                loss = loss + w * divergence(ensemble.detach(), logits[j])
                for other in range(3):
                    if other != j:
                        loss = loss + w * divergence(targets[other], logits[j]) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            decay = min(1 - 1 / step, 0.999)
            with torch.no_grad():
                for kept, new in zip(mean.parameters(), network.parameters(), strict=True):
                    kept.mul_(decay).add_((1 - decay) * new)
            yield network, mean


def test_pcl_ends_where_the_straightforward_loop_ends(training, tmp_path):
    training = training.but(
        collaboration=CollaborationConfig(rampup_epochs=2, view_batch_norm="separate"),
        recipe=training.recipe.model_copy(update={"learning_rate": 0.05}),
    )
    state = training.run(tmp_path / "c")
    *_, (network, mean) = straightforward_pcl(training)
    for ours, plain in ((state.network, network), (state.mean.network, mean)):
        for name, tensor in plain.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_reports_its_measurements(method: Method, training, tmp_path):
    training = training.but(
        method=method, recipe=training.recipe.model_copy(update={"epochs": 20, "learning_rate": 0.05})
    )
    state = training.run(tmp_path / "c")
    assert [measured["epoch"] for measured in state.history] == list(range(1, 21))
    losses = [measured["train"]["loss/cross_entropy_branches"] for measured in state.history]
    assert losses[-1] < 0.8 * losses[0]
    assert all(math.isfinite(value) for measured in state.history for value in measured["train"].values())


@pytest.mark.parametrize("method", METHODS)
def test_a_training_interrupted_anywhere_ends_in_the_same_bits(method: Method, training, tmp_path):
    training = training.but(method=method)
    whole = training.run(tmp_path / "whole")

    class CutOffError(Exception):
        pass

    num_batches = training.samples().num_batches
    cuts = (1, 2, num_batches, num_batches + 1, 2 * num_batches + 2) if IS_SLOW else (2, num_batches + 1)
    for cut_after in cuts:
        checkpoint = tmp_path / f"cut-{cut_after}"
        state, stepped = training.prepare()
        calls = itertools.count(1)

        def dying(images, num_views, stepped=stepped, calls=calls, cut_after=cut_after):
            if next(calls) > cut_after:
                raise CutOffError
            return stepped(images, num_views)

        with pytest.raises(CutOffError):
            list(training.epochs(state, dying, checkpoint, checkpoint_steps=1))
        assert checkpoint.exists()
        resumed = training.run(checkpoint, checkpoint_steps=1)
        assert_equal(all_tensors(resumed), all_tensors(whole))
        assert resumed.history == whole.history


def test_an_interruption_between_checkpoints_repeats_the_steps_since_the_last(training, tmp_path):
    whole = training.run(tmp_path / "whole")
    state, stepped = training.prepare()
    epochs = training.epochs(state, stepped, tmp_path / "cut")
    assert next(epochs) == 1
    epochs.close()
    assert_equal(all_tensors(training.run(tmp_path / "cut")), all_tensors(whole))


def test_a_training_that_had_ended_does_no_step(training, tmp_path):
    whole = training.run(tmp_path / "c")

    def refuse(images, num_views):
        raise AssertionError

    state, _ = training.prepare()
    assert list(training.epochs(state, refuse, tmp_path / "c")) == []
    assert_equal(all_tensors(state), all_tensors(whole))


def test_weight_and_rate_of_each_epoch_are_kept(training, tmp_path):
    history = training.run(tmp_path / "c").history
    assert [each["train"]["ramp_weight"] for each in history] == pytest.approx([math.exp(-5), math.exp(-1.25), 1.0])
    # The values of the epoch's last step: milestones at half and at three quarters of 9 steps.
    assert [each["train"]["learning_rate"] for each in history] == pytest.approx([0.05, 0.005, 0.0005])


def test_the_loss_of_an_epoch_is_the_mean_over_its_samples(training, tmp_path):
    # Batches of 8, 8 and 9 samples at a rate too small to change anything, so one pass of the network gives the same.
    training = training.but(
        method="plain",
        architecture="mlp",
        recipe=training.recipe.model_copy(update={"epochs": 1, "learning_rate": 1e-12, "batch_size": 10}),
    )
    state, stepped = training.prepare()
    with torch.no_grad():
        losses = torch.cat(
            [
                F.cross_entropy(stepped(batch.images_NCHW).logits_MBK[0], batch.labels_B, reduction="none")
                for batch in training.samples().batches(0)
            ]
        )
    list(training.epochs(state, stepped, tmp_path / "c"))
    assert state.history[0]["train"]["loss"] == pytest.approx(losses.mean().item(), rel=1e-5)


def test_the_loss_is_its_parts_with_the_weight_of_the_epoch(training, tmp_path):
    for measured in training.run(tmp_path / "c").history:
        train_values = measured["train"]
        supervised = train_values["loss/cross_entropy_branches"] + train_values["loss/cross_entropy_ensemble"]
        distilled = train_values["loss/ensemble_to_branches"] + train_values["loss/means_to_branches"]
        assert train_values["loss"] == pytest.approx(supervised + train_values["ramp_weight"] * distilled, rel=1e-5)


def test_the_last_epoch_is_evaluated_whatever_the_interval(training, tmp_path):
    training = training.but(recipe=training.recipe.model_copy(update={"epochs": 5}))
    asked: list[bool] = []

    def evaluate(network, mean):
        asked.append(mean is not None)
        return {"test": {"accuracy/branch_1": 0.5}}

    state = training.run(tmp_path / "c", evaluate=evaluate, evaluate_every_epochs=2)
    assert [each["epoch"] for each in state.history if "test" in each] == [2, 4, 5]
    assert asked == [True] * 3


def test_evaluation_does_not_change_the_training(training, tmp_path):
    evaluate = make_evaluate(training.dataset, {"test": np.arange(10)}, device=torch.device("cpu"))
    evaluated = training.run(tmp_path / "a", evaluate=evaluate)
    assert_equal(all_tensors(evaluated), all_tensors(training.run(tmp_path / "b")))


def test_the_mean_follows_once_a_step(training, tmp_path):
    state = training.run(tmp_path / "c")
    assert state.mean.num_updates == state.num_steps == 9


def test_bfloat16_keeps_weights_and_statistics_in_float32_and_ends_near_float32(training, tmp_path):
    full = training.run(tmp_path / "full")
    half = training.but(recipe=training.recipe.model_copy(update={"precision": "bfloat16"})).run(tmp_path / "half")
    different = 0
    for name, tensor in all_tensors(half).items():
        if name.startswith(("network", "mean")) and tensor.is_floating_point():
            assert tensor.dtype == torch.float32, name
            torch.testing.assert_close(tensor, all_tensors(full)[name], rtol=0.1, atol=0.1)
            different += not torch.equal(tensor, all_tensors(full)[name])
    assert different


def test_seeds_give_other_trainings_and_methods_with_one_seed_start_alike(training, tmp_path):
    first, other = training.prepare()[0], training.but(seed=1).prepare()[0]
    assert not torch.equal(next(first.network.parameters()), next(other.network.parameters()))
    plain = training.but(method="plain").prepare()[0].network.plain_state(0)
    assert_equal(plain, first.network.plain_state(0))


def test_no_step_waits_for_the_device(training, tmp_path, monkeypatch):
    """The host waits whenever Python reads a value. It does so equally often in an epoch of many steps and in one of
    few.
    """
    asked = {"times": 0}

    def counted(function):
        def ask(*arguments, **options):
            asked["times"] += 1
            return function(*arguments, **options)

        return ask

    def times(batch_size: int) -> int:
        before = asked["times"]
        training.but(recipe=training.recipe.model_copy(update={"batch_size": batch_size, "epochs": 1})).run(
            tmp_path / f"{batch_size}"
        )
        return asked["times"] - before

    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, counted(getattr(torch.Tensor, name)))
    assert times(4) == times(12) > 0


@pytest.mark.parametrize("method", ["plain", "pcl"])
def test_a_training_that_diverges_ends_without_a_checkpoint_of_that_epoch(training, method, tmp_path):
    recipe = training.recipe.model_copy(update={"learning_rate": 1e20, "epochs": 5})
    training = training.but(method=method, recipe=recipe)
    state, stepped = training.prepare()
    num_epochs = list(training.epochs(state, stepped, tmp_path / "c", checkpoint_steps=1))
    assert num_epochs == list(range(1, len(num_epochs) + 1))
    assert len(num_epochs) < 5
    assert (state.is_finite, state.ended_finite) == (False, False)
    assert state.history[-1]["train"]["loss"] is None
    json.dumps(state.history, allow_nan=False)
    # A checkpoint that exists is from an earlier epoch, and leads to the same result.
    again, stepped = training.prepare()
    assert list(training.epochs(again, stepped, tmp_path / "c"))[-1] == len(num_epochs)
    assert again.history == state.history


def test_a_training_whose_last_loss_is_infinite_has_diverged_though_its_weights_are_finite(training, tmp_path):
    state = training.but(method="plain").run(tmp_path / "c")
    assert state.ended_finite
    state.history[0]["train"]["loss"] = None
    assert state.ended_finite
    state.history[-1]["train"]["loss"] = None
    assert state.is_finite
    assert not state.ended_finite


def test_a_checkpoint_of_another_training_is_refused(training, tmp_path):
    training.run(tmp_path / "c")
    other, _ = training.but(method="plain").prepare()
    with pytest.raises(ArtifactCorruptError, match=r"must contain a training in progress"):
        other.restore(tmp_path / "c")
    tensors, words = load_tensors(tmp_path / "c")
    name, momentum = next((name, each) for name, each in tensors.items() if name.startswith("momentum."))
    for spoiled, message in (
        (tensors | {name: torch.full_like(momentum, math.inf)}, "must be finite"),
        ({each: tensor for each, tensor in tensors.items() if each != name}, "lacks the tensor"),
    ):
        save_tensors(tmp_path / "spoiled", spoiled, words)
        with pytest.raises(ArtifactCorruptError, match=message):
            training.prepare()[0].restore(tmp_path / "spoiled")
    save_tensors(tmp_path / "wordless", tensors)
    with pytest.raises(ArtifactCorruptError, match="must contain a training in progress"):
        training.prepare()[0].restore(tmp_path / "wordless")
