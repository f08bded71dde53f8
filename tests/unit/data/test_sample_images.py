import io

import numpy as np
import pytest
from PIL import Image

from peerkd.data.sample_images import MAX_SAMPLES, MAX_SIDE_PIXELS, MAX_STRIPS, sample_images


def noise(num, *shape_CHW):
    return np.random.default_rng(0).integers(0, 256, (num, *shape_CHW), dtype=np.uint8)


def test_each_peer_has_strips_of_its_own_classes_in_order():
    images, labels = noise(12, 1, 8, 8), np.array([0, 1, 2] * 4)
    train = [np.array([1, 2, 4, 7, 10]), np.array([0, 3])]
    strips = sample_images(lambda indices: images[indices], labels, train)
    assert [(each.peer, each.class_index, each.num_images) for each in strips] == [(0, 1, 3), (0, 2, 1), (1, 0, 2)]
    picture = Image.open(io.BytesIO(strips[1].data))
    assert (strips[1].media_type, picture.size) == ("image/png", (8, 8))
    assert np.array_equal(np.asarray(picture), images[2, 0])


@pytest.mark.parametrize(
    ("shape_CHW", "size"), [((3, 96, 192), (48, 24)), ((1, 200, 100), (24, 48)), ((3, 9, 5), (5, 9))]
)
def test_large_images_are_reduced_and_keep_their_shape(shape_CHW, size):
    images = noise(1, *shape_CHW)
    (strip,) = sample_images(lambda indices: images[indices], np.zeros(1, dtype=int), [np.zeros(1, dtype=int)])
    assert Image.open(io.BytesIO(strip.data)).size == size


@pytest.mark.parametrize("num_peers", [2, 100, MAX_STRIPS + 60])
def test_no_number_of_peers_exceeds_the_number_and_the_size_of_strips(num_peers):
    images = noise(20, 3, MAX_SIDE_PIXELS, MAX_SIDE_PIXELS)
    labels = np.arange(20)
    strips = sample_images(lambda indices: images[indices], labels, [np.arange(20)] * num_peers)
    assert 0 < len(strips) <= MAX_STRIPS
    assert len({each.peer for each in strips}) == min(num_peers, MAX_STRIPS)
    assert sum(len(each.data) for each in strips) < 2e6


def test_a_strip_of_noise_has_the_size_that_the_limit_counts_on():
    images = noise(MAX_SAMPLES, 3, 300, 300)
    (strip,) = sample_images(lambda indices: images[indices], np.zeros(3, dtype=int), [np.arange(3)])
    assert strip.num_images == MAX_SAMPLES
    assert len(strip.data) < 9_000


def test_images_with_other_channels_have_no_strips():
    images = noise(2, 2, 8, 8)
    assert sample_images(lambda indices: images[indices], np.zeros(2, dtype=int), [np.arange(2)]) == []
