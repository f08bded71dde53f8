import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from peerkd.data.dataset import RawDataset
from peerkd.data.packed import read_packed, write_packed
from peerkd.data.sources.pixel_rules import PixelRules
from peerkd.data.streamed import index_image_folder
from peerkd.errors import DataSourceError
from peerkd.training import pixels
from peerkd.training.pixels import Pixels, prefetch

NUM_IMAGES = 40
INDICES = np.arange(3, NUM_IMAGES, 2)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 3, 6, 6), dtype=np.uint8)


@pytest.fixture(scope="module")
def packed(images, tmp_path_factory):
    raw = RawDataset(
        images_NCHW=images,
        labels_N=np.zeros(NUM_IMAGES, np.int64),
        num_train=NUM_IMAGES,
        class_names=("a",),
        columns={},
        name="noise",
    )
    folder = tmp_path_factory.mktemp("packed")
    write_packed(folder, raw)
    return read_packed(folder)


@pytest.fixture(scope="module")
def streamed(images, tmp_path_factory):
    root = tmp_path_factory.mktemp("streamed")
    (root / "a").mkdir()
    for index, image_CHW in enumerate(images):
        Image.fromarray(image_CHW.transpose(1, 2, 0)).save(root / "a" / f"{index:02d}.png")
    return index_image_folder(root, PixelRules(6))


def read(pixels, spans=((0, 7), (7, 13), (13, 19))):
    order = np.random.default_rng(1).permutation(len(INDICES))
    return order, list(pixels.read(order, spans))


@pytest.mark.parametrize("resident_bytes", [0, None, 2**20])
def test_batches_are_the_images_of_their_samples_from_wherever_they_come(
    images, packed, streamed, resident_bytes, monkeypatch
):
    monkeypatch.setattr(pixels, "_BLOCK_BYTES", 500)
    for dataset in (packed, streamed):
        order, batches = read(Pixels(dataset, INDICES, device=CPU, resident_bytes=resident_bytes))
        assert [len(batch) for batch in batches] == [7, 6, 6]
        np.testing.assert_array_equal(torch.cat(batches).numpy(), images[INDICES[order]])


def test_a_packed_set_that_fits_is_read_once_and_a_larger_one_anew(packed):
    num_bytes = len(INDICES) * 3 * 6 * 6
    resident = Pixels(packed, INDICES, device=CPU, resident_bytes=num_bytes)
    assert resident.num_bytes == num_bytes
    assert resident._images_SCHW is None
    read(resident)
    copied = resident._images_SCHW
    read(resident)
    assert resident._images_SCHW is copied
    larger = Pixels(packed, INDICES, device=CPU, resident_bytes=num_bytes - 1)
    read(larger)
    assert larger._images_SCHW is None


def test_a_file_that_is_damaged_after_indexing_is_reported_with_its_name(tmp_path):
    (tmp_path / "a").mkdir()
    for index in range(NUM_IMAGES):
        Image.new("RGB", (6, 6)).save(tmp_path / "a" / f"{index:02d}.png")
    damaged = index_image_folder(tmp_path, PixelRules(6))
    (tmp_path / "a" / f"{INDICES[0]:02d}.png").write_bytes(b"not an image")
    with pytest.raises(DataSourceError, match=rf"{INDICES[0]:02d}\.png \(it is not an image"):
        read(Pixels(damaged, INDICES, device=CPU))


def names_of_threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_results_have_the_order_of_the_items_whatever_takes_longest():
    def slow_at_first(item):
        time.sleep(0.02 if item % 4 == 0 else 0)
        return item * item

    assert list(prefetch(slow_at_first, range(12), num_ahead=3, num_threads=4)) == [item * item for item in range(12)]
    assert list(prefetch(slow_at_first, [], num_ahead=3, num_threads=2)) == []
    assert not names_of_threads()


def test_no_more_than_num_ahead_results_are_computed_ahead():
    begun = []
    results = prefetch(lambda item: begun.append(item) or item, range(100), num_ahead=2, num_threads=2)
    assert not begun
    for expected in range(10):
        assert next(results) == expected
        assert len(begun) <= expected + 3
    results.close()


def test_results_are_computed_while_the_caller_works():
    begun = threading.Event()
    results = prefetch(lambda item: begun.set() if item == 1 else None, range(2), num_ahead=1, num_threads=2)
    next(results)
    assert begun.wait(timeout=10)
    results.close()


def test_an_exception_reaches_the_caller_unchanged_and_in_order():
    def fail_at_two(item):
        if item == 2:
            raise KeyError(item)
        return item

    results = prefetch(fail_at_two, range(100), num_ahead=4, num_threads=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(KeyError, match="2"):
        next(results)
    assert list(results) == []
    assert not names_of_threads()


@pytest.mark.parametrize("abandon", ["close", "drop"])
def test_an_abandoned_iterator_leaves_no_work_behind(abandon):
    begun = []
    results = prefetch(begun.append, range(100), num_ahead=5, num_threads=2)
    next(results)
    if abandon == "close":
        results.close()
    del results
    assert not names_of_threads()
    assert len(begun) <= 6
