import pytest
import torch

from peerkd.models.build import num_parameters
from peerkd.models.small import mlp, small_cnn


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (8, 8), (33, 12), (64, 64)])
@pytest.mark.parametrize("build", [mlp, small_cnn])
def test_any_image_of_at_least_four_by_four_pixels_fits(build, size: tuple[int, int]) -> None:
    network = build(image_shape_CHW=(3, *size), num_classes=5)
    assert network(torch.zeros(2, 3, *size)).shape == (2, 5)


def test_the_parameters_of_the_cnn_do_not_depend_on_the_image_size() -> None:
    nums = {num_parameters(small_cnn(image_shape_CHW=(1, size, size), num_classes=5)) for size in (4, 8, 28)}
    assert len(nums) == 1


def test_the_number_of_parameters_of_the_mlp_follows_from_its_width() -> None:
    network = mlp(image_shape_CHW=(1, 2, 3), num_classes=5, width=4)
    assert num_parameters(network) == (6 * 4 + 4) + (4 * 4 + 4) + (4 * 5 + 5)


def test_the_number_of_parameters_of_the_cnn_follows_from_its_width() -> None:
    network = small_cnn(image_shape_CHW=(3, 8, 8), num_classes=5, width=4)
    assert num_parameters(network) == (3 * 4 * 9 + 2 * 4) + (4 * 8 * 9 + 2 * 8) + (8 * 4 * 5 + 5)


def test_one_sample_can_be_evaluated() -> None:
    network = small_cnn(image_shape_CHW=(1, 8, 8), num_classes=5).eval()
    assert network(torch.zeros(1, 1, 8, 8)).shape == (1, 5)
