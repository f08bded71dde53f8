import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peerkd.data.augment import apply_views, draw_views, normalize
from peerkd.data.dataset import RawDataset
from peerkd.data.packed import read_packed, write_packed
from peerkd.seeds import derive_seed, generator
from peerkd.training.bounds import batch_bounds, part_of
from peerkd.training.samples import BatchSize, SampleSet

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


def samples(dataset, indices=range(NUM_IMAGES), *, name="set", seed=0, cache_bytes=2**20, padding=1, **others):
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
        **others,
    )


def epoch(sample_set, number, **choices):
    batches = list(sample_set.batches(number, **choices))
    return torch.cat([batch.images_NCHW for batch in batches]), torch.cat([batch.labels_B for batch in batches])


@given(num_samples=st.integers(2, 5000), batch_size=st.integers(3, 512))
def test_batches_are_as_few_as_allowed_of_nearly_equal_size_and_never_of_one_sample(num_samples, batch_size):
    sizes = np.diff(batch_bounds(num_samples, batch_size=batch_size))
    assert sizes.sum() == num_samples
    assert sizes.max() <= batch_size
    assert sizes.min() >= 2
    assert sizes.max() - sizes.min() <= 1
    assert len(sizes) == -(-num_samples // batch_size)


def test_each_epoch_contains_every_sample_once_in_a_new_order(dataset):
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


def test_a_set_gives_the_same_batches_whether_kept_or_computed_again(dataset):
    kept, made = samples(dataset), samples(dataset, cache_bytes=0)
    for number in (0, 1, 0):
        for one, other in zip(epoch(kept, number), epoch(made, number), strict=True):
            assert torch.equal(one, other)
    assert kept._cached
    assert not made._cached


def test_values_of_samples_are_put_into_batches_and_back_in_order(dataset):
    indices = np.arange(3, NUM_IMAGES)[::-1].copy()
    sample_set = samples(dataset, indices)
    labels = torch.from_numpy(dataset.labels_N[indices])
    for number in (0, 1):
        batches = sample_set.in_batches(labels, number)
        for values, batch in zip(batches, sample_set.batches(number), strict=True):
            assert torch.equal(values, batch.labels_B)
        assert torch.equal(sample_set.in_order(batches, number), labels)


def test_an_epoch_that_was_read_in_part_is_not_kept(dataset):
    sample_set = samples(dataset)
    next(sample_set.batches(0))
    list(sample_set.batches(0, first_batch=1))
    list(sample_set.batches(0, part=(0, 2)))
    list(sample_set.batches(0, num_views=2))
    assert not sample_set._cached
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


def same(one, other):
    return torch.equal(one.images_NCHW, other.images_NCHW) and torch.equal(one.labels_B, other.labels_B)


@pytest.mark.parametrize("num_views", [1, 3])
def test_batches_equal_a_straightforward_implementation(dataset, num_views):
    indices = np.arange(3, NUM_IMAGES)
    order = generator(5, "order", "set", 2).permutation(indices)
    batches = list(samples(dataset, indices, seed=5).batches(2, num_views=num_views))
    assert [batch.num_samples for batch in batches] == [12, 12, 13]
    assert samples(dataset, indices).batch_sizes == (BatchSize(13), BatchSize(12))
    bounds = batch_bounds(len(order), batch_size=16)
    for batch, start, stop in zip(batches, bounds, bounds[1:], strict=False):
        chosen = order[start:stop]
        stacked = []
        for seed in [derive_seed(5, "views"), derive_seed(5, "views", 1), derive_seed(5, "views", 2)][:num_views]:
            views = draw_views(NUM_IMAGES, seed=seed, epoch=2, crop_padding_pixels=1, horizontal_flip=True)
            images = torch.from_numpy(dataset.read_images(chosen))
            stacked.append(apply_views(images, views, torch.from_numpy(chosen)))
        mean, std = torch.tensor(dataset.channel_mean), torch.tensor(dataset.channel_std)
        assert torch.equal(batch.images_NCHW, normalize(torch.cat(stacked), mean_C=mean, std_C=std))
        assert batch.images_NCHW.is_contiguous(memory_format=torch.channels_last)
        assert batch.images_NCHW.dtype == torch.float32
        assert batch.labels_B.tolist() == dataset.labels_N[chosen].tolist()


@pytest.mark.parametrize("num_views", [1, 2])
def test_an_epoch_resumed_in_its_middle_has_the_same_batches(dataset, num_views):
    whole = list(samples(dataset).batches(1, num_views=num_views))
    for first_batch in range(len(whole) + 1):
        rest = list(samples(dataset).batches(1, num_views=num_views, first_batch=first_batch))
        assert len(rest) == len(whole) - first_batch
        assert all(map(same, rest, whole[first_batch:]))


@pytest.mark.parametrize("num_views", [1, 2])
@pytest.mark.parametrize("num_parts", [2, 3, 5])
def test_the_concatenated_parts_are_the_batch(dataset, num_views, num_parts):
    parts = [samples(dataset).batches(1, num_views=num_views, part=(rank, num_parts)) for rank in range(num_parts)]
    for whole, *pieces in zip(samples(dataset).batches(1, num_views=num_views), *parts, strict=True):
        assert torch.equal(torch.cat([piece.labels_B for piece in pieces]), whole.labels_B)
        views = [piece.images_NCHW.unflatten(0, (num_views, -1)) for piece in pieces]
        assert torch.equal(torch.cat(views, dim=1).flatten(0, 1), whole.images_NCHW)
        assert {piece.num_samples for piece in pieces} == {len(whole.labels_B)}


@given(start=st.integers(0, 100), num_samples=st.integers(4, 300), num_parts=st.integers(1, 9))
def test_parts_are_of_nearly_equal_size_and_never_of_one_sample(start, num_samples, num_parts):
    num_parts = min(num_parts, num_samples // 2)
    parts = [part_of((start, start + num_samples), (place, num_parts)) for place in range(num_parts)]
    sizes = [stop - start for start, stop in parts]
    assert [start, *(stop for _, stop in parts)] == [*(start for start, _ in parts), start + num_samples]
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1


def test_too_many_parts_and_missing_batches_are_refused_immediately(dataset):
    sample_set = samples(dataset)
    with pytest.raises(
        ValueError,
        match=r"training.num_processes must leave every process at least 2 samples of a batch, "
        r"got 7 for a batch of 13\.",
    ):
        sample_set.batches(0, part=(0, 7))
    with pytest.raises(ValueError, match=r"first_batch must be from 0 to 3, got 4\."):
        sample_set.batches(0, first_batch=4)


@pytest.mark.parametrize("choices", [{}, {"num_views": 3}, {"first_batch": 1}, {"part": (1, 2)}])
def test_batches_are_the_same_if_the_images_are_on_the_device(dataset, choices):
    read, gathered = samples(dataset, range(5, 35)), samples(dataset, range(5, 35), resident_bytes=2**20)
    for number in range(2):
        for one, other in zip(read.batches(number, **choices), gathered.batches(number, **choices), strict=True):
            assert same(one, other)


def test_resized_crops_are_part_of_the_views(dataset):
    plain = samples(dataset, padding=0)
    cropped = samples(dataset, padding=0, resized_crop_min_area_fraction=0.1)
    whole = samples(dataset, padding=0, resized_crop_min_area_fraction=1.0)
    assert torch.equal(epoch(whole, 0)[0], epoch(plain, 0)[0])
    assert not torch.equal(epoch(cropped, 0)[0], epoch(plain, 0)[0])
    assert torch.equal(epoch(cropped, 0, num_views=2)[0][:13], epoch(cropped, 0)[0][:13])
