"""Images with the shape of CIFAR and with classes that a network can learn, for machines without CIFAR."""

from pathlib import Path

import numpy as np

_NUM_CLASSES = 10
_SIZE_PIXELS = 32
_CELL_PIXELS = 8


def write_synthetic(path: Path, *, num_train: int, num_test: int) -> None:
    """Write an npz file of coarse patterns, one for each class, with random shifts and noise.

    Shape suffixes: K = classes, N = samples, H W = image size.
    """
    rng = np.random.default_rng(0)
    num_cells = _SIZE_PIXELS // _CELL_PIXELS
    cells = rng.normal(0, 40, (_NUM_CLASSES, num_cells, num_cells, 3))
    patterns_KHWC = cells.repeat(_CELL_PIXELS, axis=1).repeat(_CELL_PIXELS, axis=2)
    arrays = {}
    for split, num_samples in (("train", num_train), ("test", num_test)):
        labels_N = rng.permutation(np.arange(num_samples) % _NUM_CLASSES)
        images_NHWC = patterns_KHWC[labels_N]
        for image_HWC, shift in zip(images_NHWC, rng.integers(0, _SIZE_PIXELS, (num_samples, 2)), strict=True):
            image_HWC[:] = np.roll(image_HWC, shift, axis=(0, 1))
        images_NHWC += rng.normal(128, 60, images_NHWC.shape)
        arrays[f"{split}_images"] = images_NHWC.clip(0, 255).astype(np.uint8)
        arrays[f"{split}_labels"] = labels_N.astype(np.int64)
    np.savez(path, allow_pickle=False, **arrays)
