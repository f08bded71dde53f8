import re
from itertools import combinations
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peerkd.losses.online.pcl import pcl_loss
from peerkd.models.branched import BranchedNetwork, BranchOutputs, build_branched
from peerkd.models.build import build_network, num_parameters

M, B, K = 3, 4, 5
GREY = (1, 8, 8)
SPLITS = [("mlp", "hidden2"), ("small_cnn", "stage2"), ("resnet20", "stage1"), ("resnet20", "stage3")]
SPLITS_OR_NONE = [*SPLITS, ("mlp", None), ("small_cnn", None), ("resnet20", None)]
LABELS_B = torch.tensor([0, 3, 4, 1])


def build(architecture: str = "small_cnn", **changes: Any) -> BranchedNetwork:
    arguments = {"num_branches": M, "branch_point": "stage2", "head": None, "seed": 3, **changes}
    return build_branched(architecture, image_shape_CHW=GREY, num_classes=K, **arguments)


def plain(architecture: str, *, seed: int = 3) -> nn.Sequential:
    return build_network(architecture, image_shape_CHW=GREY, num_classes=K, seed=seed)


def images(num_images: int = B, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(num_images, *GREY, generator=torch.Generator().manual_seed(seed))


def randomised(network: nn.Module) -> nn.Module:
    """Randomise affine weights and running statistics of batch normalisation, which start at 0 or 1."""
    generator = torch.Generator().manual_seed(1)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return network


def differs(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool((one - other).abs().max() > 1e-4)


@pytest.mark.parametrize(("architecture", "branch_point"), SPLITS_OR_NONE)
def test_branches_have_different_initial_weights_in_every_block(architecture: str, branch_point: str | None) -> None:
    states = [dict(branch.named_parameters()) for branch in build(architecture, branch_point=branch_point).branches]
    drawn = [name for name, tensor in states[0].items() if tensor.dim() > 1]
    assert {"classifier.weight"} < set(drawn)
    for first, second in combinations(states, 2):
        assert not any(torch.equal(first[name], second[name]) for name in [*drawn, "classifier.bias"])


@pytest.mark.parametrize(("architecture", "branch_point"), SPLITS_OR_NONE)
def test_trunk_and_first_branch_are_the_plain_network_of_the_seed(architecture: str, branch_point: str | None) -> None:
    state, expected = build(architecture, branch_point=branch_point).plain_state(0), plain(architecture).state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("head", ["joined", "gated", "attention", "fused"])
def test_all_weights_depend_only_on_the_seed(head: str) -> None:
    first = build(head=head).state_dict()
    torch.manual_seed(99)
    again, other = build(head=head).state_dict(), build(head=head, seed=4).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    drawn = [name for name, tensor in first.items() if tensor.dim() > 1]
    assert any(name.startswith("head.") for name in drawn)
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


def test_further_branches_and_a_head_do_not_change_the_weights_of_the_others() -> None:
    few, many = build(num_branches=2, head="joined").state_dict(), build(num_branches=4).state_dict()
    shared = [name for name in few if not name.startswith("head.")]
    assert all(torch.equal(few[name], many[name]) for name in shared)


def test_the_state_of_the_global_generator_does_not_change() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    build(head="fused")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_new_network_is_in_training_mode_and_its_statistics_are_untouched() -> None:
    network = build(head="fused")
    assert all(module.training for module in network.modules())
    counters = [buffer for name, buffer in network.named_buffers() if name.endswith("num_batches_tracked")]
    assert counters
    assert not any(counters)


@pytest.mark.parametrize(("architecture", "branch_point"), SPLITS_OR_NONE)
def test_every_branch_equals_a_plain_network_if_all_have_the_same_input(
    architecture: str, branch_point: str | None
) -> None:
    network = randomised(build(architecture, branch_point=branch_point)).eval()
    logits_MBK = network(images()).logits_MBK
    assert logits_MBK.shape == (M, B, K)
    for branch in range(M):
        alone = plain(architecture, seed=99).eval()
        alone.load_state_dict(network.plain_state(branch), strict=True)
        assert torch.equal(alone(images()), logits_MBK[branch])
    assert all(differs(one, other) for one, other in combinations(logits_MBK, 2))


@pytest.mark.parametrize("view_batch_norm", ["joined", "separate"])
@pytest.mark.parametrize(("architecture", "branch_point"), SPLITS_OR_NONE)
def test_each_branch_gets_only_its_own_view(architecture: str, branch_point: str | None, view_batch_norm: str) -> None:
    network = build(architecture, branch_point=branch_point, view_batch_norm=view_batch_norm)
    randomised(network).eval()
    images_NCHW = images(M * B)
    logits_MBK = network(images_NCHW, M).logits_MBK
    for branch in range(M):
        view = slice(branch * B, (branch + 1) * B)
        torch.testing.assert_close(logits_MBK[branch], network(images_NCHW[view]).logits_MBK[branch])
        changed_NCHW = images_NCHW.clone()
        changed_NCHW[view] += 1
        changed_MBK = network(changed_NCHW, M).logits_MBK
        same = [torch.equal(changed_MBK[other], logits_MBK[other]) for other in range(M)]
        assert same == [other != branch for other in range(M)]


@pytest.mark.parametrize("view_batch_norm", ["joined", "separate"])
def test_one_branch_stacks_its_views(view_batch_norm: str) -> None:
    network = build("resnet20", num_branches=1, branch_point="stage3", view_batch_norm=view_batch_norm).train()
    alone, images_NCHW = plain("resnet20").train(), images(2 * B)
    if view_batch_norm == "joined":
        expected = alone(images_NCHW)
    else:
        expected = torch.cat([alone(images_NCHW[:B]), alone(images_NCHW[B:])])
    assert torch.equal(network(images_NCHW, 2).logits_MBK, expected[None])
    for name, buffer in alone.named_buffers():
        assert torch.equal(network.plain_state(0)[name], buffer), name


@pytest.mark.parametrize("num_views", [2, 4])
def test_a_number_of_views_other_than_that_of_the_branches_is_refused(num_views: int) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'num_views must be 1 or 3, got {num_views}.')}$"):
        build()(images(12), num_views)


@pytest.mark.parametrize(
    ("architecture", "known", "requested"),
    [
        ("mlp", "hidden2", "hidden1"),
        ("mlp", "hidden2", "classifier"),
        ("small_cnn", "stage2", "stage1"),
        ("small_cnn", "stage2", "pool"),
        ("resnet20", "stage1, stage2, stage3", "stem"),
        ("resnet20", "stage1, stage2, stage3", "stage4"),
    ],
)
def test_an_unknown_branch_point_is_refused_with_the_known_ones(architecture: str, known: str, requested: str) -> None:
    message = f"branch_point must be one of {known}, got {requested}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build(architecture, branch_point=requested)


@pytest.mark.parametrize(
    ("architecture", "branch_point", "head", "message"),
    [
        ("small_cnn", None, "gated", "branch_point must be set for a gated head, got None."),
        ("mlp", "hidden2", "fused", "architecture must have feature maps for a fused head, got one without."),
        ("small_cnn", "stage2", "no", "head must be joined, gated, attention or fused, got no."),
    ],
)
def test_a_head_that_lacks_what_it_needs_is_refused(
    architecture: str, branch_point: str | None, head: str, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build(architecture, branch_point=branch_point, head=head)


def parts_by_hand(
    network: BranchedNetwork, images_NCHW: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    """Return the output of the trunk, and the last maps and the features of each branch."""
    trunk = network.trunk(images_NCHW)
    maps = [branch.stage2(trunk) for branch in network.branches]
    return trunk, maps, [branch.pool(each) for branch, each in zip(network.branches, maps, strict=True)]


def test_each_head_gets_the_inputs_of_its_definition() -> None:
    networks = {head: randomised(build(head=head)).eval() for head in ("joined", "gated", "attention", "fused")}
    outputs = {head: network(images()) for head, network in networks.items()}
    trunk, maps, features = parts_by_hand(networks["joined"], images())
    gate = networks["gated"].head(trunk.mean(dim=(2, 3)), outputs["gated"].logits_MBK)
    assert torch.equal(outputs["joined"].head_logits_BK, networks["joined"].head(torch.stack(features)))
    assert torch.equal(outputs["gated"].head_logits_BK, gate)
    assert torch.equal(outputs["fused"].head_logits_BK, networks["fused"].head(maps))
    # The last branch is the leader, to which no other branch attends.
    assert torch.equal(outputs["attention"].attention_BAA, networks["attention"].head(torch.stack(features[:-1])))
    assert outputs["attention"].attention_BAA.shape == (B, M - 1, M - 1)
    assert outputs["attention"].head_logits_BK is None
    assert [outputs[head].attention_BAA for head in ("joined", "gated", "fused")] == [None] * 3
    assert build()(images())[1:] == (None, None)


def test_a_gate_uses_the_output_of_a_trunk_without_maps_unchanged() -> None:
    network = randomised(build("mlp", branch_point="hidden2", head="gated")).eval()
    outputs = network(images())
    assert torch.equal(outputs.head_logits_BK, network.head(network.trunk(images()), outputs.logits_MBK))


def test_the_joined_head_combines_the_views() -> None:
    network = randomised(build(head="joined")).eval()
    images_NCHW = images(M * B)
    features = [parts_by_hand(network, view)[2][branch] for branch, view in enumerate(images_NCHW.chunk(M))]
    torch.testing.assert_close(network(images_NCHW, M).head_logits_BK, network.head(torch.stack(features)))


def test_outputs_of_16_bits_are_converted_to_32_bits() -> None:
    values = torch.rand(2, 3, dtype=torch.bfloat16)
    outputs = BranchOutputs(values, None, values + 1).float()
    assert outputs.logits_MBK.dtype == outputs.attention_BAA.dtype == torch.float32
    assert torch.equal(outputs.logits_MBK, values.float())
    assert torch.equal(outputs.attention_BAA, (values + 1).float())
    assert outputs.head_logits_BK is None
    assert BranchOutputs(values, values, None).float().head_logits_BK.dtype == torch.float32


def test_separate_and_joined_views_are_equal_in_evaluation_mode() -> None:
    joined, separate = (
        randomised(build("resnet20", branch_point="stage3", view_batch_norm=policy)).eval()
        for policy in ("joined", "separate")
    )
    torch.testing.assert_close(joined(images(M * B), M).logits_MBK, separate(images(M * B), M).logits_MBK)


@pytest.mark.parametrize("policy", ["joined", "separate"])
def test_the_trunk_normalises_all_views_together_or_each_separately(policy: str) -> None:
    network = randomised(build(view_batch_norm=policy)).train()
    convolution, norm = network.trunk.stage1[0], network.trunk.stage1[1]
    seen: list[torch.Tensor] = []
    norm.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    images_NCHW = images(M * B) * torch.arange(1.0, M + 1).repeat_interleave(B)[:, None, None, None]
    running_mean, running_var = norm.running_mean.clone(), norm.running_var.clone()
    expected = []
    for part_NCHW in [images_NCHW] if policy == "joined" else images_NCHW.chunk(M):
        values = F.conv2d(part_NCHW, convolution.weight, padding=1)
        mean_C, var_C = values.mean(dim=(0, 2, 3)), values.var(dim=(0, 2, 3), correction=0)
        normal = (values - mean_C[:, None, None]) / (var_C[:, None, None] + norm.eps).sqrt()
        expected.append(normal * norm.weight[:, None, None] + norm.bias[:, None, None])
        running_mean = 0.9 * running_mean + 0.1 * mean_C
        running_var = 0.9 * running_var + 0.1 * values.var(dim=(0, 2, 3), correction=1)
    network(images_NCHW, M)
    assert len(seen) == (1 if policy == "joined" else M)
    torch.testing.assert_close(torch.cat(seen), torch.cat(expected), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_mean, running_mean)
    torch.testing.assert_close(norm.running_var, running_var)


def test_three_passes_update_running_statistics_three_times() -> None:
    # A view of zeros has mean 0, so the running mean only decays.
    left = {}
    for policy in ("joined", "separate"):
        network = randomised(build(view_batch_norm=policy)).train()
        norm = network.trunk.stage1[1]
        before = norm.running_mean.clone()
        network(torch.zeros(M * B, *GREY), M)
        left[policy] = norm.running_mean / before
    torch.testing.assert_close(left["joined"], torch.full((16,), 0.9))
    torch.testing.assert_close(left["separate"], torch.full((16,), 0.9**3))


@pytest.mark.parametrize(
    ("policy", "num_views", "num_updates"), [("joined", M, 1), ("separate", M, M), ("separate", 1, 1)]
)
def test_a_step_updates_statistics_of_the_trunk_once_per_pass_and_of_a_branch_once(
    policy: str, num_views: int, num_updates: int
) -> None:
    network = build("resnet20", branch_point="stage3", view_batch_norm=policy).train()
    network(images(num_views * B), num_views)
    counters = {name: int(n) for name, n in network.named_buffers() if name.endswith("num_batches_tracked")}
    assert {n for name, n in counters.items() if name.startswith("trunk.")} == {num_updates}
    assert {n for name, n in counters.items() if name.startswith("branches.")} == {1}


@pytest.mark.parametrize("num_branches", [2, 3])
@pytest.mark.parametrize("view_batch_norm", ["joined", "separate"])
def test_only_the_gradient_of_the_trunk_is_scaled(num_branches: int, view_batch_norm: str) -> None:
    networks = [
        randomised(build(num_branches=num_branches, view_batch_norm=view_batch_norm, scale_trunk_gradient=scale))
        for scale in (False, True)
    ]
    logits = [network(images(num_branches * B), num_branches).logits_MBK for network in networks]
    assert torch.equal(*logits)
    for each in logits:
        each.square().sum().backward()
    whole, scaled = (dict(network.named_parameters()) for network in networks)
    for name, parameter in whole.items():
        assert parameter.grad.abs().max() > 0, name
        if name.startswith("branches."):
            assert torch.equal(scaled[name].grad, parameter.grad), name
        elif num_branches == 2:
            assert torch.equal(scaled[name].grad, parameter.grad / 2), name
        else:
            torch.testing.assert_close(scaled[name].grad, parameter.grad / num_branches, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ["mlp", "small_cnn", "resnet20"])
def test_networks_without_a_branch_point_share_nothing(architecture: str) -> None:
    network = build(architecture, branch_point=None)
    assert list(network.trunk.state_dict()) == []
    addresses = [tensor.data_ptr() for branch in network.branches for tensor in branch.state_dict().values()]
    assert len(set(addresses)) == len(addresses)
    assert num_parameters(network) == M * num_parameters(plain(architecture))
    network(images(M * B), M).logits_MBK[1].sum().backward()
    touched = [any(weight.grad.any() for weight in branch.parameters()) for branch in network.branches]
    assert touched == [False, True, False]


def test_branches_share_only_the_trunk() -> None:
    network = build("resnet20", branch_point="stage3")
    names = {name for name, _ in network.trunk.named_children()}
    assert names == {"stem", "stage1", "stage2"}
    assert [[name for name, _ in branch.named_children()] for branch in network.branches] == [
        ["stage3", "pool", "classifier"]
    ] * M
    shared = num_parameters(network.trunk)
    assert num_parameters(network) == shared + M * (num_parameters(plain("resnet20")) - shared)


def pcl_parts(network: BranchedNetwork) -> tuple[BranchOutputs, dict[str, torch.Tensor]]:
    outputs = network(images(M * B), M)
    parts = pcl_loss(
        outputs.logits_MBK,
        LABELS_B,
        ensemble_logits_BK=outputs.head_logits_BK,
        mean_logits_MBK=None,
        temperature=3.0,
    )
    return outputs, parts.supervised | parts.distilled


def gradients(loss: torch.Tensor, module: nn.Module) -> dict[str, torch.Tensor | None]:
    names, parameters = zip(*module.named_parameters(), strict=True)
    values = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return dict(zip(names, values, strict=True))


def test_the_ensemble_loss_on_labels_trains_all_branches_and_the_trunk() -> None:
    network = randomised(build(head="joined")).train()
    _, parts = pcl_parts(network)
    reached = gradients(parts["cross_entropy_ensemble"], network)
    without = {name for name, gradient in reached.items() if gradient is None}
    # The ensemble includes everything except the classifiers of the branches.
    assert without == {f"branches.{branch}.classifier.{kind}" for branch in range(M) for kind in ("weight", "bias")}
    assert all(gradient.abs().max() > 0 for gradient in reached.values() if gradient is not None)


def test_distillation_from_the_ensemble_reaches_each_branch_only_through_its_own_logits() -> None:
    network = randomised(build(head="joined")).train()
    outputs, parts = pcl_parts(network)
    teaching = parts["ensemble_to_branches"]
    assert set(gradients(teaching, network.head).values()) == {None}
    teacher_BK = (outputs.head_logits_BK.detach() / 3.0).softmax(dim=1)
    for branch, student_BK in zip(network.branches, outputs.logits_MBK, strict=True):
        own = 9.0 * F.kl_div((student_BK / 3.0).log_softmax(dim=1), teacher_BK, reduction="batchmean")
        expected = gradients(own, branch)
        for name, gradient in gradients(teaching, branch).items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)
        assert expected["classifier.weight"].abs().max() > 1e-3
