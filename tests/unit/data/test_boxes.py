import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import functional as reference

from peerkd.data.boxes import draw_boxes, resize_boxes


def random_images(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)))
def test_a_box_of_the_whole_image_changes_nothing(shape: tuple[int, int, int, int]) -> None:
    images_BCHW = random_images(*shape)
    boxes_B4 = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(shape[0], 4)
    assert torch.equal(resize_boxes(images_BCHW, boxes_B4), images_BCHW)


def test_large_images_are_unchanged_or_flipped() -> None:
    images_BCHW = random_images(2, 3, 224, 224)
    boxes_B4 = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(2, 4)
    resized_BCHW = resize_boxes(images_BCHW, boxes_B4, flips_B=torch.tensor([True, False]))
    assert torch.equal(resized_BCHW, torch.stack([images_BCHW[0].flip(2), images_BCHW[1]]))


@given(data=st.data(), height=st.integers(1, 40), width=st.integers(1, 40), flip=st.booleans())
def test_a_box_of_whole_pixels_equals_the_resized_crop_of_torchvision(data, height, width, flip) -> None:
    images_BCHW = random_images(1, 3, height, width)
    box_height, box_width = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    top, left = data.draw(st.integers(0, height - box_height)), data.draw(st.integers(0, width - box_width))
    boxes_B4 = torch.tensor([[top / height, left / width, box_height / height, box_width / width]])
    expected_BCHW = reference.resized_crop(
        images_BCHW, top, left, box_height, box_width, size=[height, width], antialias=False
    )
    expected_BCHW = expected_BCHW.flip(3) if flip else expected_BCHW
    actual_BCHW = resize_boxes(images_BCHW, boxes_B4, flips_B=torch.tensor([flip]))
    assert actual_BCHW.dtype == torch.uint8
    assert (actual_BCHW.int() - expected_BCHW.int()).abs().max() <= 1


@given(
    seed=st.integers(0, 2**64),
    epoch=st.integers(0, 2**32 - 1),
    num_samples=st.integers(0, 40),
    min_area_fraction=st.floats(0.01, 1),
)
def test_boxes_are_in_the_image_and_do_not_depend_on_the_number_of_samples(
    seed: int, epoch: int, num_samples: int, min_area_fraction: float
) -> None:
    boxes_N4 = draw_boxes(40, seed=seed, epoch=epoch, min_area_fraction=min_area_fraction)
    assert boxes_N4.dtype == torch.float32
    fewer_N4 = draw_boxes(num_samples, seed=seed, epoch=epoch, min_area_fraction=min_area_fraction)
    assert torch.equal(fewer_N4, boxes_N4[:num_samples])
    top_N, left_N, height_N, width_N = boxes_N4.double().unbind(1)
    assert min(top_N.min(), left_N.min()) >= 0
    assert max((top_N + height_N).max(), (left_N + width_N).max()) <= 1 + 1e-6
    assert (height_N * width_N).min() >= min_area_fraction * (1 - 1e-6)


def test_area_shape_and_position_follow_szegedy_et_al() -> None:
    top_N, left_N, height_N, width_N = draw_boxes(100_000, seed=0, epoch=0, min_area_fraction=0.08).double().unbind(1)
    area_N = height_N * width_N
    log_ratio_N = (width_N / height_N).log()
    assert area_N.mean().item() == pytest.approx(0.54, abs=0.003)
    assert area_N.std().item() == pytest.approx(0.92 / math.sqrt(12), abs=0.003)
    assert log_ratio_N.mean().item() == pytest.approx(0, abs=0.003)
    # Every aspect ratio fits up to an area of 3/4.
    small_N = area_N < 0.75
    assert log_ratio_N.abs().max().item() == pytest.approx(math.log(4 / 3), abs=1e-3)
    assert log_ratio_N[small_N].std().item() == pytest.approx(2 * math.log(4 / 3) / math.sqrt(12), abs=0.003)
    for start_N, size_N in ((top_N, height_N), (left_N, width_N)):
        place_N = start_N[small_N] / (1 - size_N[small_N])
        assert place_N.mean().item() == pytest.approx(0.5, abs=0.005)
        assert place_N.std().item() == pytest.approx(1 / math.sqrt(12), abs=0.005)
    draws = np.corrcoef(torch.stack([area_N, log_ratio_N, top_N / (1 - height_N), left_N / (1 - width_N)])[:, small_N])
    assert np.abs(draws - np.eye(4)).max() < 0.02


def test_seeds_and_epochs_draw_different_boxes() -> None:
    keys = [(0, 0), (0, 1), (1, 0), (1, 1), (2**32, 0), (2**32, 1)]
    draws = [draw_boxes(1, seed=seed, epoch=epoch, min_area_fraction=0.08) for seed, epoch in keys]
    assert len({tuple(boxes.flatten().tolist()) for boxes in draws}) == len(draws)


def test_draws_of_boxes_do_not_drift_between_releases() -> None:
    boxes_N4 = draw_boxes(2, seed=7, epoch=3, min_area_fraction=0.08)
    expected_N4 = torch.tensor(
        [[0.0697136, 0.0511391, 0.9238814, 0.9443544], [0.0339832, 0.0106245, 0.9291034, 0.9030587]]
    )
    torch.testing.assert_close(boxes_N4, expected_N4, rtol=0, atol=1e-6)


@pytest.mark.parametrize("min_area_fraction", [0.0, -0.1, 1.01])
def test_an_area_out_of_range_is_refused(min_area_fraction: float) -> None:
    message = rf"resized_crop_min_area_fraction must be above 0 and at most 1, got {min_area_fraction}\."
    with pytest.raises(ValueError, match=message):
        draw_boxes(1, seed=0, epoch=0, min_area_fraction=min_area_fraction)
