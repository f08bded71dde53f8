import torch

from peerkd.config.training import PretrainConfig
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.training.peers import build_peer, sample_set
from peerkd.training.pretrain import pretrain

RECIPE = PretrainConfig(epochs=4, batch_size=16, learning_rate=0.05)


def parts(tiny, architecture="small_cnn"):
    dataset, assignment = open_dataset(tiny.dataset), Assignment.load(tiny.partition)
    samples = sample_set(
        dataset, assignment.train[0], name="p", batch_size=16, config=tiny.config, device=torch.device("cpu")
    )
    return build_peer(architecture, dataset, seed=1), samples


def test_it_yields_the_epochs_and_lowers_the_loss(tiny, tmp_path):
    network, samples = parts(tiny)

    def loss():
        with torch.no_grad():
            values = [torch.nn.functional.cross_entropy(network(b.images_BCHW), b.labels_B) for b in samples.batches(0)]
        return torch.stack(values).mean().item()

    before = loss()
    assert list(pretrain(network, samples, recipe=RECIPE, checkpoint=tmp_path / "c")) == [1, 2, 3, 4]
    assert loss() < before / 2


def test_a_training_that_was_cut_off_ends_in_the_same_weights(tiny, tmp_path):
    whole, samples = parts(tiny)
    list(pretrain(whole, samples, recipe=RECIPE, checkpoint=tmp_path / "whole"))

    cut, samples = parts(tiny)
    attempt = pretrain(cut, samples, recipe=RECIPE, checkpoint=tmp_path / "cut")
    assert [next(attempt), next(attempt)] == [1, 2]
    attempt.close()
    resumed, samples = parts(tiny)
    assert list(pretrain(resumed, samples, recipe=RECIPE, checkpoint=tmp_path / "cut")) == [3, 4]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


def test_a_training_that_had_finished_does_no_step(tiny, tmp_path):
    network, samples = parts(tiny)
    list(pretrain(network, samples, recipe=RECIPE, checkpoint=tmp_path / "c"))
    again, samples = parts(tiny)
    assert list(pretrain(again, samples, recipe=RECIPE, checkpoint=tmp_path / "c")) == []
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
