import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peerkd.data.dataset import RawDataset, read_packed, write_packed
from peerkd.training.samples import SampleSet, batch_bounds

NUM_IMAGES = 40


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    rng = np.random.default_rng(0)
    raw = RawDataset(
        images_NCHW=rng.integers(0, 256, (NUM_IMAGES, 1, 6, 6), dtype=np.uint8),
        labels_N=np.arange(NUM_IMAGES) % 3,
        num_train=NUM_IMAGES,
        class_names=("a", "b", "c"),
        columns={},
        name="noise",
    )
    folder = tmp_path_factory.mktemp("noise")
    write_packed(folder, raw)
    return read_packed(folder)


def samples(dataset, indices=range(NUM_IMAGES), *, name="set", seed=0, cache_bytes=2**20, padding=1):
    return SampleSet(
        dataset,
        np.array(indices),
        name=name,
        batch_size=16,
        crop_padding_pixels=padding,
        horizontal_flip=padding > 0,
        seed=seed,
        device=torch.device("cpu"),
        cache_bytes=cache_bytes,
    )


def epoch(sample_set, number):
    batches = list(sample_set.batches(number))
    return torch.cat([batch.images_BCHW for batch in batches]), torch.cat([batch.labels_B for batch in batches])


@given(num_samples=st.integers(2, 5000), batch_size=st.integers(3, 512))
def test_batches_are_as_few_as_allowed_of_nearly_equal_size_and_never_of_one_sample(num_samples, batch_size):
    sizes = np.diff(batch_bounds(num_samples, batch_size=batch_size))
    assert sizes.sum() == num_samples
    assert sizes.max() <= batch_size
    assert sizes.min() >= 2
    assert sizes.max() - sizes.min() <= 1
    assert len(sizes) == -(-num_samples // batch_size)


def test_an_epoch_holds_every_sample_once_in_another_order_than_the_last(dataset):
    sample_set = samples(dataset, padding=0)
    first, second = epoch(sample_set, 0)[0], epoch(sample_set, 1)[0]
    everything = epoch(samples(dataset, padding=0, name="other"), 0)[0]
    assert not torch.equal(first, second)
    for images in (second, everything):
        assert sorted(map(tuple, images.flatten(1).tolist())) == sorted(map(tuple, first.flatten(1).tolist()))


def test_pixels_are_normalised_by_the_training_split(dataset):
    images, _ = epoch(samples(dataset, padding=0), 0)
    assert images.mean().item() == pytest.approx(0, abs=1e-4)
    assert images.std(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_the_same_set_gives_the_same_batches_whether_kept_or_made_again(dataset):
    kept, made = samples(dataset), samples(dataset, cache_bytes=0)
    for number in (0, 1, 0):
        for one, other in zip(epoch(kept, number), epoch(made, number), strict=True):
            assert torch.equal(one, other)
    assert kept._cached
    assert not made._cached


def test_an_epoch_that_was_read_in_part_is_not_kept(dataset):
    sample_set = samples(dataset)
    next(sample_set.batches(0))
    assert len(epoch(sample_set, 0)[1]) == NUM_IMAGES


def test_a_sample_has_the_same_view_in_whatever_set_it_is_read(dataset):
    def views(indices, name):
        images, _ = epoch(samples(dataset, indices, name=name), 2)
        return set(map(tuple, images.flatten(1).tolist()))

    assert views(range(10), "few") < views(range(NUM_IMAGES), "all")


@pytest.mark.parametrize("change", [{"seed": 1}, {"name": "other"}])
def test_seed_and_name_change_the_order(dataset, change):
    one, other = epoch(samples(dataset), 0)[1], epoch(samples(dataset, **change), 0)[1]
    assert not torch.equal(one, other)
