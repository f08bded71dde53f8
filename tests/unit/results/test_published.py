from typing import get_args

import pytest

from peerkd.config.architectures import Architecture
from peerkd.config.methods import Method
from peerkd.results.published import MCL_OKD, SOURCES, WU_AND_GONG, find_published, published_data_set

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def test_published_errors_are_converted_to_accuracies():
    (paper,) = find_published("cifar100", "resnet32", "pcl")
    assert (paper.source, paper.accuracy, paper.standard_deviation) == (WU_AND_GONG, 0.7414, pytest.approx(0.0016))
    paper, other = find_published("cifar100", "resnet110", "dml")
    assert (paper.source, other.source) == (WU_AND_GONG, MCL_OKD)
    assert (other.accuracy, other.ensemble_accuracy) == (0.7849, 0.8088)
    (plain,) = find_published("cifar100", "vgg16", "plain")
    assert (plain.source, plain.accuracy, plain.ensemble_accuracy) == (MCL_OKD, 0.7482, None)


@pytest.mark.parametrize(
    ("data_set", "architecture", "method"),
    [
        (None, "resnet32", "pcl"),
        ("digits", "resnet32", "pcl"),
        ("cifar10", "small_cnn", "pcl"),
        ("cifar10", "resnet32", "plain"),
        ("cifar100", "wrn20_8", "plain"),
        ("cifar100", "resnet32", "pcl_no_mean"),
    ],
)
def test_unpublished_numbers_are_not_found(data_set, architecture, method):
    assert find_published(data_set, architecture, method) == ()


def test_all_published_numbers_are_present_and_each_source_is_explained():
    found = [
        published
        for data_set in ("cifar10", "cifar100")
        for architecture in get_args(Architecture)
        for method in get_args(Method)
        for published in find_published(data_set, architecture, method)
    ]
    assert len(found) == 2 * 5 * 7 + 4 * 5
    assert {published.source for published in found} == set(SOURCES)


def test_a_folder_is_recognised_as_cifar10_by_its_classes():
    assert published_data_set("cifar100", ()) == "cifar100"
    assert published_data_set("image_folder", CIFAR10) == "cifar10"
    assert published_data_set("image_folder", CIFAR10[:-1]) is None
    assert published_data_set("digits", tuple("0123456789")) is None
