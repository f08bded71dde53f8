"""Results that two real processes compute together over gloo."""

from pathlib import Path

import pytest
import torch

from peerkd.config.methods import METHODS, Method
from peerkd.training.checkpoints import load_tensors
from peerkd.training.online.group import ALONE, ProcessGroup
from tests.forked import run_as_group
from tests.gradients import SHARED, step, training_of
from tests.trainings import Training

# A multilayer perceptron has no batch normalisation; ONE's gate does, and FFL-S fuses feature maps.
WITHOUT_BATCH_NORM: list[Method] = [method for method in METHODS if METHODS[method].head not in ("gated", "fused")]
UNEVEN = 25


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what two processes computed in a step of each training."""
    folder = tmp_path_factory.mktemp("steps")
    trainings = [*(f"mlp-{method}" for method in WITHOUT_BATCH_NORM), "small_cnn-pcl"]
    run_as_group("tests.gradients", [[str(folder), str(UNEVEN), *trainings]] * 2, folder=folder)
    return folder


@pytest.mark.parametrize("method", WITHOUT_BATCH_NORM)
def test_two_processes_have_the_gradients_of_one_on_the_joined_batch(method: Method, steps: Path) -> None:
    alone = step(training_of(method, "mlp", UNEVEN))
    for rank in (0, 1):
        together, _ = load_tensors(steps / f"mlp-{method}-{rank}")
        assert together.keys() == alone.keys()
        for name, gradient in alone.items():
            assert gradient.abs().max() > 0, name
            torch.testing.assert_close(together[name], gradient, rtol=1e-5, atol=1e-6, msg=name)


def test_each_process_normalises_by_its_own_part_and_statistics_are_averaged(steps: Path) -> None:
    """The policy under DistributedDataParallel, derived from the statistics of the first layer's output."""
    training = training_of("pcl", "small_cnn", UNEVEN)
    (batch,) = training.samples().batches(0, num_views=3)
    convolution = training.prepare()[0].network.trunk.stage1[0]
    views = batch.images_NCHW.chunk(3)
    expected = [torch.zeros(16), torch.zeros(16)]
    for view in views:
        for rank, part in enumerate((view[:12], view[12:])):
            expected[rank] = 0.9 * expected[rank] + 0.1 * convolution(part).mean(dim=(0, 2, 3)).detach()
    found = [load_tensors(steps / f"small_cnn-pcl-{rank}")[0] for rank in (0, 1)]
    name = "trunk.stage1.1.running_mean"
    for rank in (0, 1):
        torch.testing.assert_close(found[rank][f"own.{name}"], expected[rank])
        torch.testing.assert_close(found[rank][f"averaged.{name}"], (expected[0] + expected[1]) / 2)
    assert not torch.allclose(expected[0], expected[1])


def test_processes_agree_on_gradients_whatever_their_statistics(steps: Path) -> None:
    first, second = (load_tensors(steps / f"small_cnn-pcl-{rank}")[0] for rank in (0, 1))
    gradients = [name for name in first if name.startswith("gradient.")]
    assert gradients
    assert [name for name in gradients if not torch.equal(first[name], second[name])] == []


def test_all_processes_receive_the_shared_bytes_and_the_gathered_values(steps: Path) -> None:
    for rank in (0, 1):
        received, _ = load_tensors(steps / f"received-{rank}")
        assert bytes(received["shared"].tolist()) == SHARED
        assert received["nothing"].numel() == 0
        assert received["gathered"].tolist() == [[0, 0], [1, 10]]
        assert received["gathered nothing"].shape == (2, 0)


def test_a_single_process_is_not_wrapped() -> None:
    state, stepped = Training().prepare()
    assert stepped is state.network
    assert ALONE.is_leader
    values = torch.ones(2)
    assert ALONE.sum(values) is values
    assert ALONE.share(b"content") == b"content"
    assert ALONE.gather(values).tolist() == [[1, 1]]


def test_statistics_cannot_be_synchronised_without_a_gpu() -> None:
    state, _ = Training().prepare()
    message = "^training.synchronise_batch_norm must be false without a GPU, got true.$"
    with pytest.raises(ValueError, match=message):
        ProcessGroup(0, 2).distribute(state.network, device=torch.device("cpu"), synchronise_batch_norm=True)
