import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import functional as reference

from peerkd.data.augment import apply_views, draw_views, normalize


def random_images(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    crop_padding_pixels=st.integers(0, 5),
    horizontal_flip=st.booleans(),
    seed=st.integers(0, 2**64),
    epoch=st.integers(0, 1000),
)
def test_views_equal_pad_crop_and_flip_of_each_sample(
    shape: tuple[int, int, int, int], crop_padding_pixels: int, horizontal_flip: bool, seed: int, epoch: int
) -> None:
    images_BCHW = random_images(*shape)
    views = draw_views(
        20, seed=seed, epoch=epoch, crop_padding_pixels=crop_padding_pixels, horizontal_flip=horizontal_flip
    )
    indices_B = torch.randint(20, (shape[0],), generator=torch.Generator().manual_seed(1))

    expected = []
    for image_CHW, index in zip(images_BCHW, indices_B.tolist(), strict=True):
        padded = reference.pad(image_CHW, [crop_padding_pixels])
        view = reference.crop(padded, int(views.offsets_y_N[index]), int(views.offsets_x_N[index]), *shape[2:])
        expected.append(reference.hflip(view) if views.flips_N[index] else view)

    actual = apply_views(images_BCHW, views, indices_B)
    assert actual.dtype == torch.uint8
    assert torch.equal(actual, torch.stack(expected))


def test_a_view_does_not_depend_on_the_batch_or_its_order() -> None:
    images_NCHW = random_images(50, 3, 8, 8)
    views = draw_views(50, seed=1, epoch=2, crop_padding_pixels=2, horizontal_flip=True)
    everything = apply_views(images_NCHW, views, torch.arange(50))
    indices_B = torch.tensor([41, 3, 3, 17])
    assert torch.equal(apply_views(images_NCHW[indices_B], views, indices_B), everything[indices_B])


@given(seed=st.integers(0, 2**64), epoch=st.integers(0, 2**32 - 1), num_samples=st.integers(0, 40))
def test_a_view_does_not_depend_on_the_number_of_samples(seed: int, epoch: int, num_samples: int) -> None:
    large = draw_views(40, seed=seed, epoch=epoch, crop_padding_pixels=4, horizontal_flip=True)
    small = draw_views(num_samples, seed=seed, epoch=epoch, crop_padding_pixels=4, horizontal_flip=True)
    assert torch.equal(small.offsets_y_N, large.offsets_y_N[:num_samples])
    assert torch.equal(small.offsets_x_N, large.offsets_x_N[:num_samples])
    assert torch.equal(small.flips_N, large.flips_N[:num_samples])


def test_crops_do_not_depend_on_whether_samples_are_flipped() -> None:
    flipped = draw_views(40, seed=3, epoch=4, crop_padding_pixels=4, horizontal_flip=True)
    upright = draw_views(40, seed=3, epoch=4, crop_padding_pixels=4, horizontal_flip=False)
    assert torch.equal(flipped.offsets_x_N, upright.offsets_x_N)
    assert not upright.flips_N.any()


def test_seeds_epochs_and_axes_draw_independently() -> None:
    keys = [(0, 0), (0, 1), (1, 0), (1, 1), (2**32, 0), (2**32, 1)]
    draws = []
    for seed, epoch in keys:
        views = draw_views(100, seed=seed, epoch=epoch, crop_padding_pixels=4, horizontal_flip=True)
        draws += [tuple(views.offsets_y_N.tolist()), tuple(views.offsets_x_N.tolist())]
    assert len(set(draws)) == len(draws)


def test_offsets_are_uniform_and_half_of_the_samples_are_flipped() -> None:
    views = draw_views(90_000, seed=0, epoch=0, crop_padding_pixels=4, horizontal_flip=True)
    for offsets_N in (views.offsets_y_N, views.offsets_x_N):
        counts = np.bincount(offsets_N.numpy(), minlength=9)
        assert len(counts) == 9
        np.testing.assert_allclose(counts, 10_000, rtol=0.05)
    assert views.flips_N.float().mean().item() == pytest.approx(0.5, abs=0.01)


def test_draws_do_not_drift_between_releases() -> None:
    views = draw_views(8, seed=7, epoch=3, crop_padding_pixels=4, horizontal_flip=True)
    assert views.offsets_y_N.tolist() == [8, 4, 0, 1, 0, 8, 3, 3]
    assert views.offsets_x_N.tolist() == [4, 4, 4, 0, 5, 3, 8, 1]
    assert views.flips_N.int().tolist() == [1, 0, 0, 1, 0, 0, 0, 1]


def test_without_crop_and_flip_the_images_are_unchanged() -> None:
    images_BCHW = random_images(3, 1, 4, 4)
    views = draw_views(10, seed=0, epoch=0, crop_padding_pixels=0, horizontal_flip=False)
    assert apply_views(images_BCHW, views, torch.arange(3)) is images_BCHW


def test_views_move_between_devices() -> None:
    views = draw_views(4, seed=0, epoch=0, crop_padding_pixels=1, horizontal_flip=True).to("meta")
    assert {views.offsets_y_N.device.type, views.offsets_x_N.device.type, views.flips_N.device.type} == {"meta"}
    images_BCHW = torch.empty(2, 3, 4, 4, dtype=torch.uint8, device="meta")
    indices_B = torch.empty(2, dtype=torch.int64, device="meta")
    assert apply_views(images_BCHW, views, indices_B).shape == (2, 3, 4, 4)


@pytest.mark.parametrize("crop_padding_pixels", [-1, 128])
def test_padding_out_of_range_is_refused(crop_padding_pixels: int) -> None:
    with pytest.raises(ValueError, match=rf"crop_padding_pixels must be from 0 to 127, got {crop_padding_pixels}"):
        draw_views(1, seed=0, epoch=0, crop_padding_pixels=crop_padding_pixels, horizontal_flip=False)


def test_normalize_agrees_with_torchvision() -> None:
    images_BCHW = random_images(5, 3, 6, 7)
    mean, std = [0.49, 0.48, 0.45], [0.25, 0.24, 0.26]
    actual = normalize(images_BCHW, mean_C=torch.tensor(mean), std_C=torch.tensor(std))
    assert actual.dtype == torch.float32
    assert torch.equal(actual, reference.normalize(images_BCHW.float() / 255, mean, std))


def test_normalize_rounds_once_to_the_requested_dtype() -> None:
    images_BCHW = random_images(5, 3, 6, 7)
    mean_C, std_C = torch.tensor([0.49, 0.48, 0.45]), torch.tensor([0.25, 0.24, 0.26])
    exact = normalize(images_BCHW, mean_C=mean_C, std_C=std_C)
    rounded = normalize(images_BCHW, mean_C=mean_C, std_C=std_C, dtype=torch.bfloat16)
    assert torch.equal(rounded, exact.bfloat16())


def test_padding_and_resized_crops_exclude_each_other() -> None:
    with pytest.raises(
        ValueError, match=r"crop_padding_pixels must be 0 when resized_crop_min_area_fraction is set, got 4\."
    ):
        draw_views(1, seed=0, epoch=0, crop_padding_pixels=4, horizontal_flip=True, resized_crop_min_area_fraction=0.08)


def test_boxes_do_not_change_other_draws_and_are_flipped_after_the_crop() -> None:
    images_NCHW = random_images(50, 3, 8, 8)
    plain = draw_views(50, seed=1, epoch=2, crop_padding_pixels=0, horizontal_flip=True)
    boxed = draw_views(
        50, seed=1, epoch=2, crop_padding_pixels=0, horizontal_flip=True, resized_crop_min_area_fraction=0.2
    )
    assert torch.equal(boxed.flips_N, plain.flips_N)
    everything = apply_views(images_NCHW, boxed, torch.arange(50))
    assert everything.dtype == torch.uint8
    upright = apply_views(images_NCHW, boxed._replace(horizontal_flip=False), torch.arange(50))
    flipped = torch.where(boxed.flips_N[:, None, None, None], upright.flip(3), upright)
    assert torch.equal(everything, flipped)
    indices_B = torch.tensor([41, 3, 3, 17])
    assert torch.equal(apply_views(images_NCHW[indices_B], boxed, indices_B), everything[indices_B])
    assert boxed.to("meta").boxes_N4.device.type == "meta"
