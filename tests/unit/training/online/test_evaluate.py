from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from peerkd.data.packed import PackedDataset
from peerkd.models.branched import BranchedNetwork, BranchOutputs, build_branched
from peerkd.models.heads import JoinedHead, average_logits
from peerkd.training.online import evaluate
from peerkd.training.online.evaluate import make_evaluate, predictors
from tests.trainings import CPU, NUM_CLASSES, make_dataset

M, K = 3, 3
LABELS = [0, 1, 2, 0, 1, 2, 0]
ANSWERS = [
    [0, 1, 2, 1, 1, 0, 0],
    [0, 1, 0, 1, 2, 2, 1],
    [0, 2, 0, 0, 2, 2, 0],
]
"""The predictions of each branch. The average of the branches predicts 0, 1, 0, 1, 2, 2, 0."""

UNSURE = {(1, 5), (2, 5)}
"""A branch and a sample. The other two branches give class 2 nine tenths and this one gives class 0 everything: class 2
has the highest mean probability, and class 0 the highest mean logit.
"""


class OwnChannel(nn.Module):
    """One channel of the image as features."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self.channel = channel

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW[:, self.channel, 0]


def fabricated_dataset() -> PackedDataset:
    """A head whose branch j reads its prediction from channel j of an image: one pixel for each class."""
    images_NCHW = np.zeros((len(LABELS), M, 1, K), dtype=np.uint8)
    for branch, answers in enumerate(ANSWERS):
        for sample, answer in enumerate(answers):
            images_NCHW[sample, branch, 0, answer] = 74 if (branch, sample) in UNSURE else 255
    return PackedDataset(
        images_NCHW=images_NCHW,
        labels_N=np.array(LABELS),
        num_train=len(LABELS),
        class_names=("a", "b", "c"),
        columns={},
        name="fabricated",
        fingerprint="",
        channel_mean=(0.5,) * M,
        channel_std=(0.1,) * M,
    )


def fabricated_network() -> BranchedNetwork:
    """A network whose branch j reads channel j, and whose head always predicts class 0."""
    branches = [nn.Sequential(OrderedDict(pool=OwnChannel(j), classifier=nn.Identity())) for j in range(M)]
    head = JoinedHead(num_branches=M, num_features=K, num_classes=K)
    nn.init.zeros_(head.classifier.weight)
    head.classifier.bias.data = torch.tensor([1.0, 0.0, 0.0])
    return BranchedNetwork(nn.Sequential(), branches, head=head)


def real_network(*, seed: int = 0, num_branches: int = M, head: str | None = "joined") -> BranchedNetwork:
    return build_branched(
        "small_cnn",
        num_branches=num_branches,
        branch_point="stage2",
        head=head,
        image_shape_CHW=(1, 8, 8),
        num_classes=NUM_CLASSES,
        seed=seed,
    )


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "_BATCH_SIZE", 3)


def test_accuracies_and_disagreement_are_those_counted_by_hand() -> None:
    network = fabricated_network()
    batches: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    splits = {"validation": np.array([4, 1, 6]), "test": np.arange(7)}
    measured = make_evaluate(fabricated_dataset(), splits, device=CPU)(network, None)
    assert batches == [3, 3, 3, 1]
    assert list(measured) == ["validation", "test"]
    assert measured["test"] == pytest.approx(
        {
            "accuracy/branch_1": 5 / 7,
            "accuracy/branch_2": 3 / 7,
            "accuracy/branch_3": 4 / 7,
            "accuracy/head": 3 / 7,
            "accuracy/average": 4 / 7,
            # The pairs differ on 4, 5 and 3 of the seven samples.
            "disagreement": (4 + 5 + 3) / 3 / 7,
        }
    )
    assert measured["validation"] == pytest.approx(
        {
            "accuracy/branch_1": 1,
            "accuracy/branch_2": 1 / 3,
            "accuracy/branch_3": 1 / 3,
            "accuracy/head": 1 / 3,
            "accuracy/average": 2 / 3,
            "disagreement": (2 + 2 + 2) / 3 / 3,
        }
    )


def test_measurements_are_plain_numbers() -> None:
    measured = make_evaluate(fabricated_dataset(), {"test": np.arange(7)}, device=CPU)(fabricated_network(), None)
    assert {type(value) for value in measured["test"].values()} == {float}


def test_a_network_is_measured_in_evaluation_mode_and_left_unchanged() -> None:
    dataset, indices_N = make_dataset(11), np.array([7, 3, 10, 0, 1, 5, 2])
    network, mean = real_network(seed=0).train(), real_network(seed=1).train()
    with torch.no_grad():
        for each in (network, mean):
            each(torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    before = [{name: tensor.clone() for name, tensor in each.state_dict().items()} for each in (network, mean)]
    measured = make_evaluate(dataset, {"test": indices_N}, device=CPU)(network, mean)["test"]
    for each, state in zip((network, mean), before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in each.state_dict().items())

    # Images are processed one by one, and normalised by hand.
    expected: dict[str, float] = {}
    for prefix, each in (("", network.eval()), ("mean_", mean.eval())):
        answers: dict[str, list[int]] = {}
        for index in indices_N:
            pixels = torch.tensor(dataset.images_NCHW[index]).float()[None]
            with torch.no_grad():
                outputs = each((pixels / 255 - 0.5) / 0.25)
            logits = {f"branch_{j + 1}": outputs.logits_MBK[j] for j in range(M)}
            logits |= {"head": outputs.head_logits_BK, "average": outputs.logits_MBK.softmax(dim=2).mean(dim=0)}
            for name, logits_BK in logits.items():
                answers.setdefault(name, []).append(int(logits_BK[0].argmax()))
        for name, found in answers.items():
            right = [a == label for a, label in zip(found, dataset.labels_N[indices_N], strict=True)]
            expected[f"accuracy/{prefix}{name}"] = sum(right) / 7
        shares = []
        for first, second in ((1, 2), (1, 3), (2, 3)):
            pairs = zip(answers[f"branch_{first}"], answers[f"branch_{second}"], strict=True)
            shares.append(sum(a != b for a, b in pairs) / 7)
        expected[f"{prefix}disagreement"] = sum(shares) / 3
    assert measured == pytest.approx(expected)


def test_the_mean_over_time_is_measured_under_names_of_its_own() -> None:
    dataset, splits = make_dataset(11), {"validation": np.arange(4), "test": np.arange(4, 11)}
    network, mean = real_network(seed=0), real_network(seed=1)
    measure = make_evaluate(dataset, splits, device=CPU)
    both, alone, mean_alone = measure(network, mean), measure(network, None), measure(mean, None)
    for split in splits:
        named = {
            name.replace("accuracy/", "accuracy/mean_").replace("disagreement", "mean_disagreement"): value
            for name, value in mean_alone[split].items()
        }
        assert {"accuracy/mean_branch_1", "accuracy/mean_head", "accuracy/mean_average"} < named.keys()
        assert both[split] == alone[split] | named
        assert len(both[split]) == 2 * len(alone[split])


def test_a_single_branch_has_no_disagreement_and_is_its_own_average() -> None:
    network = real_network(num_branches=1, head=None)
    measured = make_evaluate(make_dataset(5), {"test": np.arange(5)}, device=CPU)(network, network)
    assert list(measured["test"]) == ["accuracy/branch_1", "accuracy/mean_branch_1"]


def test_branches_with_equal_predictions_do_not_disagree() -> None:
    network = fabricated_network()
    for branch in network.branches:
        branch.pool.channel = 0
    measured = make_evaluate(fabricated_dataset(), {"test": np.arange(7)}, device=CPU)(network, None)["test"]
    assert measured["disagreement"] == 0.0
    assert measured["accuracy/average"] == measured["accuracy/branch_1"] == pytest.approx(5 / 7)


def test_the_predictors_are_the_branches_the_head_and_the_average() -> None:
    logits_MBK, head_BK = torch.randn(2, 4, 5), torch.randn(4, 5)
    found = predictors(BranchOutputs(logits_MBK, head_BK, None))
    assert list(found) == ["branch_1", "branch_2", "head", "average"]
    assert torch.equal(found["branch_1"], logits_MBK[0])
    assert torch.equal(found["branch_2"], logits_MBK[1])
    assert found["head"] is head_BK
    assert torch.equal(found["average"], average_logits(logits_MBK))
    assert list(predictors(BranchOutputs(logits_MBK, None, None))) == ["branch_1", "branch_2", "average"]
    assert list(predictors(BranchOutputs(logits_MBK[:1], None, None))) == ["branch_1"]
