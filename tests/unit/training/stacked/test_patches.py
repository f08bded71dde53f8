import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from peerkd.training.stacked.patches import by_window, max_pool, max_pool_backward, patches, patches_backward

SIZES = st.tuples(st.integers(1, 3), st.integers(2, 7), st.integers(2, 7), st.integers(1, 4))


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@given(size=SIZES)
def test_a_product_with_patches_is_a_convolution(size):
    maps_CHWB, weight = noise(*size), noise(5, size[0], 3, 3)
    wanted_BMHW = F.conv2d(maps_CHWB.movedim(-1, 0), weight, padding=1)
    got_MHWB = torch.einsum("md,dhwb->mhwb", weight.flatten(1), patches(maps_CHWB))
    torch.testing.assert_close(got_MHWB, wanted_BMHW.movedim(0, -1))


@given(size=SIZES)
def test_patches_of_many_students_are_those_of_each(size):
    maps = noise(3, *size)
    assert torch.equal(patches(maps), torch.stack([patches(each) for each in maps]))


@given(size=SIZES)
def test_the_gradient_of_patches_is_that_of_autograd(size):
    maps = noise(2, *size).requires_grad_()
    made = patches(maps)
    grad = noise(*made.shape)
    made.backward(grad)
    torch.testing.assert_close(patches_backward(grad), maps.grad)


@given(size=SIZES, num_values=st.sampled_from([1, 2, 3, 1000]))
def test_pooling_and_its_gradient_equal_torchs_with_ties_too(size, num_values):
    maps_CHWB = (num_values * noise(*size)).round_() / num_values
    images = maps_CHWB.movedim(-1, 0).clone().requires_grad_()
    pooled = F.max_pool2d(images, 2)
    windows_GMR = by_window(maps_CHWB).unsqueeze(0)
    largest_GMR, places = max_pool(windows_GMR)
    assert torch.equal(largest_GMR[0], pooled.movedim(0, -1).flatten(1))
    grad = noise(*pooled.shape)
    pooled.backward(grad)
    grad_GMR = max_pool_backward(grad.movedim(0, -1).flatten(1).unsqueeze(0), windows_GMR, places)
    assert torch.equal(grad_GMR[0], by_window(images.grad.movedim(0, -1)))


@pytest.mark.parametrize("value", [0.0, -0.7])
def test_the_first_of_equal_values_has_the_gradient(value):
    windows_GMR = torch.full((1, 1, 8), value)
    _, places = max_pool(windows_GMR)
    assert max_pool_backward(torch.ones(1, 1, 2), windows_GMR, places).tolist() == [[[1, 1, 0, 0, 0, 0, 0, 0]]]
