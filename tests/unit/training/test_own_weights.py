"""Weights that users have trained: read without executing anything, and compared with a network in full."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from peerkd.models.build import build_network
from peerkd.training.checkpoints import save_tensors
from peerkd.training.own_weights import fit_to_network, load_own_weights, read_weights


def network(name: str = "mlp", *, num_classes: int = 4, seed: int = 0) -> torch.nn.Module:
    return build_network(name, image_shape_CHW=(1, 8, 8), num_classes=num_classes, seed=seed)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_weights_are_read_bit_for_bit_in_each_format(tmp_path: Path, suffix: str) -> None:
    trained = network("small_cnn", seed=3).state_dict()
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(trained, path)
    assert equal(load_own_weights(path, network("small_cnn"), name="small_cnn"), dict(trained))


class Executed(Exception):  # noqa: N818
    """Raised by a checkpoint whose content is executed."""


class Bomb:
    def __reduce__(self) -> Any:
        return (exec, ("import tests.unit.training.test_own_weights as t; raise t.Executed",))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"state_dict": network().state_dict(), "epoch": 3},
            "the keys state_dict, epoch; save checkpoint['state_dict']",
        ),
        (
            {**network().state_dict(), "fc.bias": "text"},
            "must map names to tensors, and in w.pt fc.bias is a str; save network.state_dict() alone.",
        ),
        ({}, "must map names to tensors, and w.pt is empty; save network.state_dict()."),
        ([1, 2], "contains a value of type list; save network.state_dict() alone."),
        (network(), "is not: it is damaged or contains Python objects. Save network.state_dict() alone."),
        ({"a": Bomb()}, "is not: it is damaged or contains Python objects."),
    ],
)
def test_a_file_with_anything_but_tensors_is_refused_and_not_executed(
    tmp_path: Path, content: Any, expected: str
) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"^weights must ") as caught:
        read_weights(tmp_path / "w.pt")
    assert expected in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_damaged_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match=r"^weights must be a"):
        read_weights(path)


def test_all_differences_are_named_with_the_nearest_names() -> None:
    tensors = dict(network().state_dict())
    tensors["hidden1.1.weigth"] = tensors.pop("hidden1.1.weight")
    tensors["classifier.bias"] = torch.zeros(9)
    tensors["hidden2.0.bias"] = tensors["hidden2.0.bias"] * float("nan")
    tensors["zzz"] = torch.zeros(1)
    _, mismatch = fit_to_network(tensors, network())
    assert mismatch.lines() == [
        "1 missing: hidden1.1.weight (near hidden1.1.weigth)",
        "2 left over: hidden1.1.weigth (near hidden1.1.weight), zzz",
        "1 of another shape or type: classifier.bias is float32 (9,) and must be float32 (4,)",
        "1 with NaN or infinite numbers: hidden2.0.bias",
    ]
    with pytest.raises(
        ValueError, match=r"^weights must fit the network mlp, got w\.pt with 1 missing \(hidden1.1.weight \(near "
    ):
        mismatch.check("mlp", file="w.pt")


def test_weights_that_fit_but_are_not_finite_are_called_so() -> None:
    state = network().state_dict()
    state["hidden2.0.bias"][1] = float("nan")
    with pytest.raises(
        ValueError,
        match=r"^weights must contain finite numbers, got NaN or infinite ones in hidden2\.0\.bias of w\.pt;",
    ):
        fit_to_network(state, network())[1].check("mlp", file="w.pt")


def test_a_negative_variance_is_named() -> None:
    normalised = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    # A buffer of the user's own module may have the same name and another meaning.
    normalised[0].register_buffer("running_var", -torch.ones(2))
    state = {**normalised.state_dict(), "1.running_var": torch.tensor([1.0, -1e-3])}
    with pytest.raises(ValueError, match=r"got negative ones in 1\.running_var of w\.pt\.$"):
        fit_to_network(state, normalised)[1].check("own", file="w.pt")


def test_every_tensor_of_another_networks_checkpoint_is_named() -> None:
    tensors = dict(network("resnet20").state_dict())
    _, mismatch = fit_to_network(tensors, network("small_cnn"))
    listed = " ".join(mismatch.lines())
    assert all(name in listed for name in {*tensors, *network("small_cnn").state_dict()} - {"classifier.bias"})
    with pytest.raises(ValueError, match=r"and \d+ more") as caught:
        mismatch.check("small_cnn", file="w.pt")
    assert ", got w.pt, which looks like the checkpoint of another network, with 12 missing (" in str(caught.value)
    assert len(str(caught.value)) < 800


def test_the_prefix_of_a_wrapper_is_recognised() -> None:
    tensors = {f"module.{name}": tensor for name, tensor in network().state_dict().items()}
    mismatch = fit_to_network(tensors, network())[1]
    missing = mismatch.missing
    assert "classifier.bias (near module.classifier.bias)" in missing
    assert all(f"(near module.{name.split()[0]})" in name for name in missing)
    with pytest.raises(ValueError, match=r"and 3 more\); remove module\. from the beginning of its names\.$"):
        mismatch.check("mlp", file="w.pt")


def test_a_prefix_that_the_network_has_too_many_is_recognised() -> None:
    wrapped = torch.nn.Sequential(network())
    mismatch = fit_to_network(network().state_dict(), wrapped)[1]
    assert mismatch.remedy == "put 0. before its names"
    # A single other name is no wrapper.
    del wrapped[0].classifier
    assert fit_to_network(network().state_dict(), wrapped)[1].remedy == ""


def test_tensors_without_plain_numbers_are_refused() -> None:
    state = dict(network().state_dict())
    state["classifier.bias"] = state["classifier.bias"].to_sparse()
    state["hidden2.0.bias"] = state["hidden2.0.bias"].to("meta")
    _, mismatch = fit_to_network(state, network())
    assert mismatch.misshapen == (
        "classifier.bias is sparse float32 (4,) and must be float32 (4,)",
        "hidden2.0.bias is without values float32 (64,) and must be float32 (64,)",
    )


def test_tensors_that_share_memory_in_a_file_do_not_share_it_afterwards(tmp_path: Path) -> None:
    state = dict(network().state_dict())
    state["hidden1.1.weight"] = state["hidden2.0.weight"]
    torch.save(state, tmp_path / "w.pt")
    fitted = load_own_weights(tmp_path / "w.pt", network(), name="mlp")
    save_tensors(tmp_path / "w.safetensors", fitted)
    assert equal(fitted, state)


def test_half_precision_is_widened_exactly_and_double_precision_refused() -> None:
    state = network().state_dict()
    halves = {name: tensor.half() for name, tensor in state.items()}
    fitted, mismatch = fit_to_network(halves, network())
    assert not any(mismatch)
    assert all(fitted[name].dtype == torch.float32 and torch.equal(fitted[name].half(), halves[name]) for name in state)
    _, mismatch = fit_to_network({name: tensor.double() for name, tensor in state.items()}, network())
    assert len(mismatch.misshapen) == len(state)
    assert "classifier.bias is float64 (4,) and must be float32 (4,)" in mismatch.misshapen
