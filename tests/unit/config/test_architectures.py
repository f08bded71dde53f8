from functools import partial
from typing import get_args

import pytest

from peerkd.config.architectures import (
    ARCHITECTURE_FACTS,
    Architecture,
    branch_points,
    check_branch_point,
    check_image_size,
    network_modules,
)
from peerkd.models.build import ARCHITECTURES


def test_a_config_can_name_every_architecture_and_no_other() -> None:
    assert get_args(Architecture) == tuple(ARCHITECTURES)


def test_every_architecture_has_facts() -> None:
    assert tuple(ARCHITECTURE_FACTS) == get_args(Architecture)


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_the_module_of_a_network_is_the_one_that_builds_it(architecture: Architecture) -> None:
    build = ARCHITECTURES[architecture]()

    assert isinstance(build, partial)
    assert network_modules([architecture]) == (build.func.__module__,)


def test_modules_of_networks_are_named_once_in_the_order_of_the_networks() -> None:
    named = network_modules(["resnet20", "small_cnn", "resnet18", "mlp", "vgg16"])

    assert named == ("peerkd.models.resnet", "peerkd.models.small", "peerkd.models.vgg")


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("mlp", ("hidden2",)),
        ("small_cnn", ("stage2",)),
        ("resnet32", ("stage1", "stage2", "stage3")),
        ("resnet18", ("stage1", "stage2", "stage3", "stage4")),
        ("vgg16", ("stage2", "stage3", "stage4", "stage5")),
    ],
)
def test_branches_begin_after_the_first_block_and_before_the_pool(
    architecture: Architecture, expected: tuple[str, ...]
) -> None:
    assert branch_points(architecture) == expected


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_branches_begin_at_the_last_stage_by_default(architecture: Architecture) -> None:
    assert ARCHITECTURE_FACTS[architecture].branch_point == branch_points(architecture)[-1]


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_every_branch_point_passes_and_so_does_none(architecture: Architecture) -> None:
    for branch_point in (None, *branch_points(architecture)):
        check_branch_point(architecture, branch_point)


@pytest.mark.parametrize(
    ("architecture", "branch_point", "rule"),
    [
        ("resnet32", "layer9", "one of stage1, stage2, stage3 for resnet32"),
        ("resnet32", "stem", "one of stage1, stage2, stage3 for resnet32"),
        ("resnet32", "pool", "one of stage1, stage2, stage3 for resnet32"),
        ("resnet32", "classifier", "one of stage1, stage2, stage3 for resnet32"),
        ("vgg16", "stage1", "one of stage2, stage3, stage4, stage5 for vgg16"),
        ("mlp", "stage3", "hidden2 for mlp"),
    ],
)
def test_another_branch_point_is_refused(architecture: Architecture, branch_point: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rf"^collaboration\.branch_point must be {rule}, got {branch_point}\.$"):
        check_branch_point(architecture, branch_point)


@pytest.mark.parametrize(
    ("architecture", "size", "got"),
    [
        ("vgg16", (8, 8), "vgg16, which needs at least 32x32"),
        ("vgg16", (31, 64), "vgg16, which needs at least 32x32"),
        ("vgg16", (64, 31), "vgg16, which needs at least 32x32"),
        ("resnet18", (4, 4), "resnet18, which needs at least 8x8"),
        ("densenet40_12", (3, 8), "densenet40_12, which needs at least 4x4"),
        ("resnet50_imagenet", (28, 28), "resnet50_imagenet, which needs at least 32x32"),
    ],
)
def test_images_that_are_too_small_are_refused(architecture: Architecture, size: tuple[int, int], got: str) -> None:
    message = rf"^architectures must accept the data set's images of {size[0]}x{size[1]} pixels, got {got}\.$"
    with pytest.raises(ValueError, match=message):
        check_image_size(architecture, (3, *size))


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_images_of_the_least_size_pass(architecture: Architecture) -> None:
    least = ARCHITECTURE_FACTS[architecture].min_image_size_pixels
    check_image_size(architecture, (1, least, least + 3))
