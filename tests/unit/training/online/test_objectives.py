import pytest
import torch

from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.methods import METHODS, Method, deployed_predictor
from peerkd.models.heads import AttentionHead, FusedHead, GatedHead, JoinedHead
from peerkd.training.online.evaluate import predictors
from peerkd.training.online.objectives import distillation_weight, loss_parts, num_views
from tests.trainings import Training

BRANCHES = 4
COLLABORATION = CollaborationConfig(num_branches=BRANCHES, rampup_epochs=10, distillation_weight=2.0)
HEADS = {"joined": JoinedHead, "gated": GatedHead, "attention": AttentionHead, "fused": FusedHead, None: type(None)}

# The facts in each method's source: branches, views, whether a trunk is shared, parts of the loss.
EXPECTED: dict[Method, tuple[int, int, bool, set[str]]] = {
    "plain": (1, 1, False, {"cross_entropy_branches"}),
    "multi_view": (1, 4, False, {"cross_entropy_branches"}),
    "ema": (1, 1, False, {"cross_entropy_branches"}),
    "dml": (4, 1, False, {"cross_entropy_branches", "branches_to_branches"}),
    "cl_ilr": (4, 1, True, {"cross_entropy_branches", "others_to_branches"}),
    "one": (4, 1, True, {"cross_entropy_branches", "cross_entropy_ensemble", "ensemble_to_branches"}),
    "ffl_s": (4, 1, True, {"cross_entropy_branches", "cross_entropy_fused", "fused_to_branches", "branches_to_fused"}),
    "okddip": (4, 1, True, {"cross_entropy_branches", "attention_to_branches", "branches_to_leader"}),
    "kdcl": (4, 4, False, {"cross_entropy_branches", "ensemble_to_branches"}),
    "pcl": (
        4,
        4,
        True,
        {"cross_entropy_branches", "cross_entropy_ensemble", "ensemble_to_branches", "means_to_branches"},
    ),
    "pcl_single_view": (
        4,
        1,
        True,
        {"cross_entropy_branches", "cross_entropy_ensemble", "ensemble_to_branches", "means_to_branches"},
    ),
    "pcl_no_ensemble": (4, 4, True, {"cross_entropy_branches", "means_to_branches"}),
    "pcl_no_mean": (4, 4, True, {"cross_entropy_branches", "cross_entropy_ensemble", "ensemble_to_branches"}),
}


def test_every_method_is_expected() -> None:
    assert EXPECTED.keys() == METHODS.keys()


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_the_network_and_the_loss_that_it_is_made_of(method: Method) -> None:
    num_branches, views, shares_trunk, parts = EXPECTED[method]
    state, stepped = Training(method=method, collaboration=COLLABORATION).prepare()
    assert state.network.num_branches == num_branches
    assert num_views(method, COLLABORATION) == views
    assert bool(len(state.network.trunk)) == shares_trunk
    assert type(state.network.head) is HEADS[METHODS[method].head]
    assert (state.mean is not None) == METHODS[method].has_mean_network

    images_NCHW = torch.randn(views * 6, 1, 8, 8)
    labels_B = torch.randint(4, (6,))
    outputs = stepped(images_NCHW, views)
    mean_outputs = state.mean.outputs(images_NCHW, views) if state.mean else None
    found = loss_parts(method, COLLABORATION, outputs, labels_B, mean_outputs=mean_outputs)
    assert {name.removeprefix("loss/") for name in found.named()} == parts
    found.total(1.0).backward()
    assert [name for name, weight in state.network.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("method", METHODS)
def test_the_predictors_of_a_method_exist(method: Method) -> None:
    state, _ = Training(method=method, collaboration=COLLABORATION).prepare()
    images_BCHW = torch.randn(2, 1, 8, 8)
    names = set(predictors(state.network.eval()(images_BCHW)))
    if state.mean:
        names |= {f"mean_{name}" for name in names}
    assert deployed_predictor(method, num_branches=state.network.num_branches) in names
    assert METHODS[method].ensemble is None or METHODS[method].ensemble in names


def test_the_leader_is_the_last_branch() -> None:
    assert deployed_predictor("okddip", num_branches=4) == "branch_4"
    assert deployed_predictor("pcl", num_branches=4) == "mean_branch_1"


@pytest.mark.parametrize("method", METHODS)
def test_the_weight_ramps_up_as_in_the_source(method: Method) -> None:
    weights = [distillation_weight(method, COLLABORATION, epoch=epoch) for epoch in (0, 5, 10, 50)]
    rising = [2 * 0.006738, 2 * 0.286505, 2.0, 2.0]
    rises = method in {"one", "ffl_s", "okddip", "pcl", "pcl_single_view", "pcl_no_ensemble", "pcl_no_mean"}
    assert METHODS[method].ramps_up == rises
    assert weights == pytest.approx(rising if rises else [2.0] * 4, rel=1e-4)


def test_the_views_of_one_network_share_its_labels_and_count_as_one_batch() -> None:
    _, stepped = Training(method="multi_view", collaboration=COLLABORATION).prepare()
    images_NCHW, labels_B = torch.randn(4 * 3, 1, 8, 8), torch.tensor([0, 1, 2])
    outputs = stepped(images_NCHW, 4)
    found = loss_parts("multi_view", COLLABORATION, outputs, labels_B, mean_outputs=None)
    log_probs_NK = outputs.logits_MBK[0].log_softmax(1)
    by_hand = -sum(log_probs_NK[view * 3 + sample, sample] for view in range(4) for sample in range(3)) / 12
    torch.testing.assert_close(found.total(1.0), by_hand)
