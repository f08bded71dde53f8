import json
from typing import Any

import pytest
import torch

from peerkd.models.branched import BranchedNetwork, build_branched
from peerkd.models.build import build_network
from peerkd.models.exported import EnsembleNetwork, build_exported
from peerkd.models.heads import average_logits

M, B, K = 3, 4, 5
GREY = (1, 8, 8)
PLAIN = {"architecture": "resnet20", "image_shape": GREY, "num_classes": K}
ENSEMBLE = {**PLAIN, "num_branches": M}


def branched(head: str | None, *, branch_point: str | None = "stage2") -> BranchedNetwork:
    network = build_branched(
        "resnet20",
        num_branches=M,
        branch_point=branch_point,
        head=head,
        image_shape_CHW=GREY,
        num_classes=K,
        seed=7,
        view_batch_norm="separate",
        scale_trunk_gradient=True,
    )
    return network.eval()


def images() -> torch.Tensor:
    return torch.randn(B, *GREY, generator=torch.Generator().manual_seed(0))


def build_from_json(description: dict[str, Any]) -> torch.nn.Module:
    """Return the description as read from JSON, with lists in place of tuples."""
    return build_exported(json.loads(json.dumps(description))).eval()


def test_an_ensemble_returns_the_logits_of_its_head_or_the_average_of_its_branches() -> None:
    network = branched("joined")
    outputs = network(images())
    assert torch.equal(EnsembleNetwork(network, combine="head")(images()), outputs.head_logits_BK)
    average_BK = EnsembleNetwork(network, combine="average")(images())
    assert torch.equal(average_BK, average_logits(outputs.logits_MBK))
    assert not torch.allclose(average_BK.softmax(dim=1), outputs.head_logits_BK.softmax(dim=1), atol=1e-3)


def test_a_description_without_branches_builds_a_plain_network() -> None:
    network = build_network("resnet20", image_shape_CHW=GREY, num_classes=K, seed=7).eval()
    exported = build_from_json(PLAIN)
    assert list(exported.state_dict()) == list(network.state_dict())
    exported.load_state_dict(network.state_dict(), strict=True)
    assert torch.equal(exported(images()), network(images()))


@pytest.mark.parametrize(
    ("head", "branch_point", "combine"),
    [
        ("joined", "stage2", "head"),
        ("joined", None, "head"),
        ("gated", "stage3", "head"),
        ("fused", "stage2", "head"),
        ("attention", "stage2", "average"),
        (None, "stage1", "average"),
        (None, None, "average"),
    ],
)
def test_the_description_of_an_ensemble_builds_a_network_that_fits_its_tensors(
    head: str | None, branch_point: str | None, combine: str
) -> None:
    trained = EnsembleNetwork(branched(head, branch_point=branch_point), combine=combine)
    exported = build_from_json({**ENSEMBLE, "branch_point": branch_point, "head": head, "combine": combine})
    exported.load_state_dict(trained.state_dict(), strict=True)
    # The normalisation of views and the scaling of gradients affect only training and are not part of the description.
    assert torch.equal(exported(images()), trained(images()))


def test_building_does_not_change_the_global_generator() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    build_exported(PLAIN)
    build_exported({**ENSEMBLE, "branch_point": None, "head": "joined", "combine": "head"})
    assert torch.equal(torch.get_rng_state(), before)
