from typing import Any

import pytest

from peerkd.config.data import AugmentationConfig, DataConfig, DirichletLabels, EqualSizes, PartitionConfig
from peerkd.config.strict import StrictConfig


def refusal(section: type[StrictConfig], values: dict[str, Any]) -> str:
    with pytest.raises(ValueError, match=r"^.+\.$") as caught:
        section.from_mapping(values)
    return str(caught.value)


def test_digits_are_the_default_and_need_no_path() -> None:
    assert DataConfig.from_mapping({}).source == "digits"
    assert DataConfig.from_mapping({}).path is None


@pytest.mark.parametrize("source", ["cifar10", "cifar100", "image_folder", "npz"])
def test_every_source_but_digits_needs_a_path(source: str) -> None:
    assert refusal(DataConfig, {"source": source}) == f"path is required when source is {source}, got null."
    assert DataConfig.from_mapping({"source": source, "path": "data"}).path == "data"


def test_digits_refuse_a_path() -> None:
    assert refusal(DataConfig, {"path": "data"}) == (
        "path must be null when source is digits, got data; set source to the kind of data at that path, such as "
        "image_folder or npz."
    )


@pytest.mark.parametrize(
    ("field", "value"), [("skip_damaged", True), ("pixel_range", [0, 4095]), ("background", [0, 0, 0])]
)
def test_fields_about_images_are_refused_for_other_sources(field: str, value: Any) -> None:
    sources = "image_folder or npz or peers" if field == "pixel_range" else "image_folder or peers"
    assert refusal(DataConfig, {"source": "cifar10", "path": "data", field: value}).startswith(
        f"{field} applies only to source {sources}, got "
    )
    config = DataConfig.from_mapping({"source": "image_folder", "path": "data", field: value})
    assert config.model_dump(mode="json")[field] == value
    assert DataConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("bounds", [[1, 1], [2, 1]])
def test_a_range_of_pixels_is_ascending(bounds: list[int]) -> None:
    assert refusal(DataConfig, {"source": "image_folder", "path": "data", "pixel_range": bounds}) == (
        f"pixel_range must be two numbers, the lower one first, got {[float(bound) for bound in bounds]}."
    )


def test_only_image_folders_are_streamed_and_to_one_size() -> None:
    streamed = {"path": "data", "storage": "streamed"}
    assert refusal(DataConfig, {"source": "npz", **streamed}) == (
        "storage must be packed unless source is image_folder, got streamed with npz."
    )
    assert refusal(DataConfig, {"source": "image_folder", **streamed}) == (
        "image_size_pixels is required when storage is streamed, got null."
    )
    config = DataConfig.from_mapping({"source": "image_folder", "image_size_pixels": 224, **streamed})
    assert config.storage == "streamed"


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("image_size_pixels", 3, "must be at least 4"),
        ("max_train_samples", 0, "must be at least 1"),
        ("max_test_samples", 0, "must be at least 1"),
        ("test_fraction", 0.0, "must be above 0"),
        ("test_fraction", 1.0, "must be below 1"),
        ("validation_fraction", 0.0, "must be above 0"),
        ("validation_fraction", 1.0, "must be below 1"),
    ],
)
def test_numbers_of_the_data_have_bounds(field: str, value: float, rule: str) -> None:
    assert refusal(DataConfig, {field: value}) == f"{field} {rule}, got {value}."


def test_padding_must_not_be_negative() -> None:
    assert refusal(AugmentationConfig, {"crop_padding_pixels": -1}) == (
        "crop_padding_pixels must be at least 0, got -1."
    )


def test_images_do_not_vary_by_default() -> None:
    assert AugmentationConfig() == AugmentationConfig(
        crop_padding_pixels=0, horizontal_flip=False, resized_crop_min_area_fraction=None
    )


def test_resized_crops_keep_some_area_and_exclude_padding() -> None:
    assert refusal(AugmentationConfig, {"resized_crop_min_area_fraction": 0.0}) == (
        "resized_crop_min_area_fraction must be above 0, got 0.0."
    )
    assert refusal(AugmentationConfig, {"resized_crop_min_area_fraction": 1.1}) == (
        "resized_crop_min_area_fraction must be at most 1, got 1.1."
    )
    assert refusal(AugmentationConfig, {"resized_crop_min_area_fraction": 0.08, "crop_padding_pixels": 4}) == (
        "crop_padding_pixels must be 0 when resized_crop_min_area_fraction is set, got 4."
    )
    config = AugmentationConfig.from_mapping({"resized_crop_min_area_fraction": 0.08, "horizontal_flip": True})
    assert config.resized_crop_min_area_fraction == 0.08


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_peers": 1}, "num_peers must be at least 2, got 1."),
        ({"public_fraction": -0.1}, "public_fraction must be at least 0, got -0.1."),
        ({"public_fraction": 1.0}, "public_fraction must be below 1, got 1.0."),
        ({"min_samples_per_peer": 1}, "min_samples_per_peer must be at least 2, got 1."),
        ({"max_attempts": 0}, "max_attempts must be at least 1, got 0."),
        ({"held_out_fraction": 0.0}, "held_out_fraction must be above 0, got 0.0."),
        (
            {"label_skew": {"kind": "dirichlet", "concentration": 0.0}},
            "label_skew.concentration must be above 0, got 0.0.",
        ),
        (
            {"label_skew": {"kind": "shards", "shards_per_peer": 0}},
            "label_skew.shards_per_peer must be at least 1, got 0.",
        ),
        (
            {"quantity_skew": {"kind": "dirichlet", "concentration": -1.0}},
            "quantity_skew.concentration must be above 0, got -1.0.",
        ),
    ],
)
def test_numbers_of_the_partition_have_bounds(values: dict[str, Any], message: str) -> None:
    assert refusal(PartitionConfig, values) == message


@pytest.mark.parametrize(
    "label_skew", [{"kind": "shards", "shards_per_peer": 2}, {"kind": "natural", "column": "writer"}]
)
def test_label_skews_that_fix_the_sizes_refuse_a_quantity_skew(label_skew: dict[str, Any]) -> None:
    values = {"label_skew": label_skew, "own_evaluation": "held_out"}
    assert refusal(PartitionConfig, {**values, "quantity_skew": {"kind": "dirichlet"}}) == (
        f"quantity_skew must be equal when label_skew is {label_skew['kind']}, which fixes the sizes itself, "
        "got dirichlet."
    )
    assert PartitionConfig.from_mapping(values).quantity_skew == EqualSizes()


@pytest.mark.parametrize(
    "label_skew", [{"kind": "iid"}, {"kind": "dirichlet"}, {"kind": "classes", "classes_per_peer": 2}]
)
def test_other_label_skews_go_with_any_quantity_skew(label_skew: dict[str, Any]) -> None:
    config = PartitionConfig.from_mapping({"label_skew": label_skew, "quantity_skew": {"kind": "dirichlet"}})
    assert (config.label_skew.kind, config.quantity_skew.kind) == (label_skew["kind"], "dirichlet")


def test_natural_ids_are_evaluated_on_held_out_samples() -> None:
    values = {"label_skew": {"kind": "natural", "column": "writer"}}
    assert refusal(PartitionConfig, values) == (
        "own_evaluation must be held_out when label_skew is natural, got matched."
    )
    assert PartitionConfig.from_mapping({**values, "own_evaluation": "held_out"}).own_evaluation == "held_out"


def test_peers_differ_in_classes_and_not_in_size_by_default() -> None:
    config = PartitionConfig()
    assert (config.label_skew, config.quantity_skew) == (DirichletLabels(concentration=0.3), EqualSizes())
