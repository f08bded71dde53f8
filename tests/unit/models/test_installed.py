"""Networks of installed packages, by the address in a config."""

import sys

import pytest
import torch

from peerkd.models.installed import build_installed


def test_a_factory_is_called_with_the_number_of_classes() -> None:
    network = build_installed("tests.own_networks:tiny", num_classes=7, seed=0)
    assert network.eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 7)


def test_a_network_of_torchvision_has_no_weights_of_its_own() -> None:
    network = build_installed("torchvision:squeezenet1_1", num_classes=3, seed=0)
    assert network.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (build_installed("tests.own_networks:tiny", num_classes=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one[0].weight, same[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "tests.own_networks:raises",
            "network must be built by a call with num_classes=3, and tests.own_networks:raises raised RuntimeError: "
            "the hub is away.",
        ),
        (
            "tests.own_networks:no_module",
            "network must be a torch.nn.Module, got dict from tests.own_networks:no_module.",
        ),
        (
            "tests.own_networks:tinny",
            "network must name a function of the module tests.own_networks (did you mean tiny?), got tinny.",
        ),
        ("tests.own_networks:not_a_function", "must name a function of the module tests.own_networks"),
        (
            "tests.no_such_module:build",
            "network must name a module that this environment can import, and tests.no_such_module raised "
            "ModuleNotFoundError: No module named 'tests.no_such_module' (install ",
        ),
        ("torchvision:resnet81", "network must be a network of torchvision (did you mean resnet18?), got "),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_in_a_sentence(name: str, expected: str) -> None:
    with pytest.raises(ValueError, match=r"^network must ") as caught:
        build_installed(name, num_classes=3, seed=0)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_of_timm_has_the_classes_of_the_study() -> None:
    network = build_installed("timm:mobilenetv3_small_050", num_classes=3, seed=0)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"must be a network of timm \(did you mean mobilenetv3_small_"):
        build_installed("timm:mobilenetv3_small_05O", num_classes=3, seed=0)


def test_a_missing_timm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match="network timm:vit_x needs the package timm, which is not installed"):
        build_installed("timm:vit_x", num_classes=3, seed=0)
