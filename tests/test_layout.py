"""Tests of the layout of the repository: every file of a stage has its noun, and the planes stay separate."""

import importlib
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE_FOLDERS = ("peerkd", "components", "pipelines")
CODE_FILES = sorted(path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*.py"))
NOUNS = sorted(path.parent.name for path in (ROOT / "components").glob("*/component.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def contract(name: str) -> dict[str, list[str]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (found,) = (each for each in settings["tool"]["importlinter"]["contracts"] if each["name"] == name)
    return found


def test_there_are_components() -> None:
    assert {"partition_data", "split_data", "train_and_report"} <= set(NOUNS)


def test_a_folder_of_components_is_one_component() -> None:
    folders = {path.parent.name for path in (ROOT / "components").glob("*/*.py")}
    assert sorted(folders) == NOUNS


@pytest.mark.parametrize("noun", NOUNS)
def test_one_noun_names_component_stage_and_artifact(noun: str) -> None:
    component = getattr(importlib.import_module(f"components.{noun}"), noun)
    assert component.name == noun.replace("_", "-")
    assert component.python_func.__name__ == noun
    stage = importlib.import_module(f"peerkd.stages.{noun}")
    assert stage.__file__ == str(ROOT / "peerkd" / "stages" / f"{noun}.py")
    assert noun == stage.NAME


@pytest.mark.parametrize("noun", NOUNS)
def test_component_and_stage_have_the_same_description(noun: str) -> None:
    component = importlib.import_module(f"components.{noun}.component").__doc__ or ""
    stage = importlib.import_module(f"peerkd.stages.{noun}").__doc__ or ""
    assert component.splitlines()[0].removeprefix("Component: ") == stage.splitlines()[0].removeprefix("Stage: ")


def test_every_component_is_in_the_contract_that_keeps_components_apart() -> None:
    listed = contract("Components do not know each other")["modules"]
    assert listed == [f"components.{noun}" for noun in NOUNS]


def test_every_contract_names_modules_that_exist() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = {
        module
        for each in settings["tool"]["importlinter"]["contracts"]
        for key in ("modules", "source_modules", "forbidden_modules")
        for module in each.get(key, [])
        if module.split(".")[0] in CODE_FOLDERS
    }
    paths = {module: ROOT / module.replace(".", "/") for module in named}
    assert [
        module for module, path in paths.items() if not path.is_dir() and not path.with_suffix(".py").is_file()
    ] == []


def test_every_package_of_peerkd_is_in_a_layer() -> None:
    layers = contract("The package is layered")["layers"]
    there = {path.relative_to(ROOT / "peerkd").with_suffix("").parts[0] for path in (ROOT / "peerkd").rglob("*.py")}
    assert {name for name in there if not name.startswith("_")} == {
        name.strip() for layer in layers for name in layer.split("|")
    }


CONTROL_PLANE = [
    "peerkd.cli.main",
    "peerkd.cli.plan",
    "peerkd.cli.run",
    "peerkd.cli.submit",
    "peerkd.config.experiment",
    "peerkd.config.resolve",
    "peerkd.losses.describe",
    "peerkd.artifacts.filesystem",
    "peerkd.config.cluster",
    "peerkd.launch.backends",
    "peerkd.launch.kubernetes.run",
    "peerkd.launch.doctor.examine",
    "peerkd.launch.kubernetes.reaper",
    "peerkd.launch.local_pipeline",
    "peerkd.launch.runs.watch",
    "peerkd.reporting.choices.html",
    "peerkd.reporting.html",
    "peerkd.reporting.methods.html",
    "peerkd.results.spill",
    "peerkd.results.table",
    "peerkd.stages.work.tune_pairs",
    "peerkd.training.forecast",
    *(f"components.{noun}" for noun in NOUNS),
    "pipelines.jointkd.pipeline",
    "pipelines.pcl.pipeline",
]
TRAINING_PLANE = [
    "peerkd.training.sweep",
    "peerkd.training.peers",
    "peerkd.training.process_pool",
    "peerkd.training.online.runs",
]


@cache
def imported_by(modules: tuple[str, ...]) -> frozenset[str]:
    """Import modules in a fresh interpreter, and return the names of all modules that it has then."""
    script = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT)
    return frozenset(ended.stdout.split())


def imported_with(modules: list[str], *, suspects: set[str]) -> set[str]:
    """Return the suspects that are imported with modules."""
    return suspects & imported_by(tuple(modules))


def test_the_control_plane_does_not_import_torch() -> None:
    assert imported_with(CONTROL_PLANE, suspects={"torch", "torchvision", "sklearn"}) == set()


def test_the_training_plane_does_not_import_kfp() -> None:
    assert imported_with(TRAINING_PLANE, suspects={"kfp", "kubernetes", "kubeflow", "minio", "jinja2"}) == set()


def test_without_a_gpu_no_module_for_gpus_is_imported() -> None:
    suspects = {"peerkd.training.captured.lane_pool", "peerkd.training.captured.graphs"}
    assert imported_with(TRAINING_PLANE, suspects=suspects) == set()


def test_a_local_run_imports_no_cluster_client() -> None:
    modules = ["peerkd.cli.main", "peerkd.config.cluster", "peerkd.launch.backends", "peerkd.launch.order"]
    assert imported_with(modules, suspects={"kubernetes", "kubeflow", "minio", "urllib3"}) == set()


def test_a_launcher_imports_no_large_package() -> None:
    heavy = {"numpy", "pyarrow", "pandas", "kfp", "scipy"}
    assert imported_with(["peerkd.launch.kubernetes.run"], suspects=heavy) == set()


def test_the_check_of_imports_finds_an_import() -> None:
    assert imported_with(["json"], suspects={"json", "torch"}) == {"json"}


def test_every_file_is_short_enough_to_read() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in CODE_FILES}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_every_file_begins_with_a_docstring() -> None:
    first_lines = {relative(path): path.read_text(encoding="utf-8").partition("\n")[0] for path in CODE_FILES}
    assert [path for path, line in first_lines.items() if not line.startswith('"""')] == []


def test_no_module_has_a_catch_all_name() -> None:
    drawers = {"utils", "util", "common", "core", "helpers", "misc", "shared", "base"}
    modules = {part for path in CODE_FILES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert modules & drawers == set()


def test_every_unit_test_is_in_the_folder_of_its_module() -> None:
    folders = {
        path.parent.relative_to(ROOT / "tests" / "unit") for path in (ROOT / "tests" / "unit").rglob("test_*.py")
    }
    assert [folder for folder in folders if not (ROOT / "peerkd" / folder).is_dir()] == []
