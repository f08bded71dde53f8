import json
from typing import Any, get_args

import pytest

from peerkd.config.methods import METHODS, Method
from peerkd.config.pcl import PclConfig
from peerkd.config.pcl_presets import PCL_PRESETS
from peerkd.config.pipelines import PCL
from peerkd.config.resolve import resolve

PUBLISHED = [
    (source, architecture)
    for source in ("cifar10", "cifar100")
    for architecture in ("resnet32", "resnet110", "vgg16", "densenet40_12", "wrn20_8")
]


def description(name: str) -> str:
    return PCL_PRESETS[name].__doc__ or ""


def test_the_presets_are_three_small_studies_ten_rows_of_the_published_tables_and_imagenet() -> None:
    rows = [f"{source}_{architecture}" for source, architecture in PUBLISHED]
    assert list(PCL_PRESETS) == ["digits", "digits_ablation", "cifar10_small", *rows, "imagenet"]


@pytest.mark.parametrize("name", PCL_PRESETS)
def test_a_preset_survives_the_way_through_json(name: str) -> None:
    config = PCL_PRESETS[name]()
    again = PclConfig.from_json(config.to_json())
    assert again == config
    assert again.to_json() == config.to_json()


@pytest.mark.parametrize("name", PCL_PRESETS)
def test_a_preset_written_out_has_every_field(name: str) -> None:
    def shape(values: Any) -> Any:
        return {key: shape(value) for key, value in values.items()} if isinstance(values, dict) else None

    assert shape(json.loads(PCL_PRESETS[name]().to_json())) == shape(PclConfig().model_dump())


@pytest.mark.parametrize("name", PCL_PRESETS)
def test_a_preset_is_described_with_its_command_and_has_its_name_in_reports(name: str) -> None:
    assert description(name).splitlines()[0].endswith(".")
    assert ("``peerkd run pcl``" if name == "digits" else f"peerkd run pcl --preset {name}") in description(name)
    assert (PCL_PRESETS[name].__name__, PCL_PRESETS[name]().name) == (name, name.replace("_", "-"))


@pytest.mark.parametrize("name", PCL_PRESETS)
def test_the_number_of_runs_in_the_description_is_right(name: str) -> None:
    assert f"{len(PCL_PRESETS[name]().runs)} runs" in description(name).splitlines()[0]


def test_only_digits_needs_no_path() -> None:
    without = {name for name, preset in PCL_PRESETS.items() if preset().data.path is None}
    assert without == {"digits", "digits_ablation"}


@pytest.mark.parametrize("name", PCL_PRESETS)
def test_views_differ_so_that_methods_with_several_have_something_to_learn_from(name: str) -> None:
    config = PCL_PRESETS[name]()
    assert any(METHODS[method].has_views for method in config.methods)
    varied = config.augmentation
    assert varied.crop_padding_pixels > 0 or varied.resized_crop_min_area_fraction


@pytest.mark.parametrize(("name", "ramp"), [("digits", 8), ("cifar10_small", 8), ("imagenet", 24)])
def test_a_shorter_training_has_the_published_ramp_in_proportion(name: str, ramp: int) -> None:
    config = PCL_PRESETS[name]()
    assert config.collaboration.rampup_epochs == round(config.training.epochs * 80 / 300) == ramp


def test_the_ablation_is_the_study_on_digits_with_every_method() -> None:
    study, ablation = PCL_PRESETS["digits"](), PCL_PRESETS["digits_ablation"]()
    assert ablation.methods == get_args(Method)
    assert len(ablation.methods) == 13
    assert ablation == study.model_copy(update={"name": ablation.name, "methods": ablation.methods})


@pytest.mark.parametrize(("source", "architecture"), PUBLISHED)
def test_a_row_of_the_published_tables_has_the_published_recipe(source: str, architecture: str) -> None:
    # The values of section 2.1 of the reference, written out in full.
    config = PCL_PRESETS[f"{source}_{architecture}"]().model_dump(mode="json")
    assert (config["data"]["source"], config["architectures"]) == (source, [architecture])
    assert (config["data"]["max_train_samples"], config["data"]["max_test_samples"]) == (None, None)
    assert config["methods"] == ["plain", "dml", "cl_ilr", "one", "ffl_s", "okddip", "kdcl", "pcl"]
    assert config["num_seeds"] == 3
    assert config["augmentation"] == {
        "crop_padding_pixels": 4,
        "horizontal_flip": True,
        "resized_crop_min_area_fraction": None,
    }
    collaboration, training = config["collaboration"], config["training"]
    assert collaboration["num_branches"] == 3
    assert collaboration["branch_point"] is None
    assert collaboration["temperature"] == 3
    assert collaboration["distillation_weight"] == 1
    assert collaboration["rampup_epochs"] == 80
    assert collaboration["mean_decay"] == 0.999
    assert training["epochs"] == 300
    assert training["batch_size"] == 128
    assert training["learning_rate"] == 0.1
    assert training["momentum"] == 0.9
    assert training["nesterov"] is True
    assert training["weight_decay"] == 0.0005
    assert training["schedule"] == "multistep"
    assert [fraction * 300 for fraction in training["milestone_fractions"]] == [150, 225]
    assert training["decay_factor"] == 0.1
    assert training["precision"] == "float32"
    assert training["num_processes"] == 1


def test_imagenet_is_streamed_and_falls_at_epochs_thirty_and_sixty() -> None:
    config = PCL_PRESETS["imagenet"]()
    assert (config.data.storage, config.data.image_size_pixels) == ("streamed", 224)
    assert config.augmentation.resized_crop_min_area_fraction == 0.08
    assert [fraction * config.training.epochs for fraction in config.training.milestone_fractions] == [30, 60]
    assert (config.training.batch_size, config.training.weight_decay) == (256, 1e-4)
    assert (config.training.precision, config.methods) == ("bfloat16", ("plain", "pcl"))


def test_one_cell_of_a_table_is_one_override() -> None:
    config = resolve(PCL, preset="cifar100_vgg16", overrides="methods=[pcl]")
    assert (config.baseline, {run.method for run in config.runs}) == ("pcl", {"pcl"})


def test_another_backbone_is_one_override() -> None:
    config = resolve(PCL, preset="imagenet", overrides="architectures=[resnet50_imagenet]")
    assert {run.architecture for run in config.runs} == {"resnet50_imagenet"}
