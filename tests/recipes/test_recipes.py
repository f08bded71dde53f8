"""Each recipe of CONTRIBUTING gives a working result if it is followed in a copy of the tree."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.recipes.recipes import RECIPES
from tests.recipes.tree import FOLDER, ROOT, Edit, apply, apply_as_another, copy_tree, run, text_of, touched

each_recipe = pytest.mark.parametrize("name", RECIPES)

EXPERIMENT = (
    "data.source=example_idx data.path={folder} partition.num_peers=2 partition.label_skew.kind=example_blocks "
    "partition.public_fraction=0.2 peers.architectures=[example_resnet] pretrain.epochs=1 pretrain.batch_size=64 "
    "distill.epochs=1 distill.batch_size=64 distill.loss.kind=example_distance "
    "sweep.transfer_sets=[student,example_set] sweep.temperatures=[4] sweep.alphas=[0.5]"
)
"""An experiment with the architecture, transfer set, loss, partitioner and data source of the recipes."""

RUN = """
import sys

import peerkd
from peerkd.artifacts.open import open_store
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.stages.in_process import run_in_process

overrides, store = sys.argv[1:]
key = run_in_process(resolve(JOINTKD, preset="example_preset", overrides=overrides), store)
print(peerkd.__file__)
print(open_store(store).fetch(key))
"""


def is_named(path: str, text: str) -> bool:
    """Return whether a recipe names a file or its folder. ``<name>`` stands for the name of the addition."""
    words = [word.strip("()") for code in re.findall(r"`([^`]+)`|\(([^)]+)\)", text) for word in " ".join(code).split()]
    patterns = [re.sub(r"<\w+>", "[^/]+", re.escape(word.rstrip("/"))) for word in words if "/" in word]
    return any(re.fullmatch(rf"{pattern}(/.*)?", path) for pattern in patterns)


@each_recipe
def test_a_recipe_names_every_file_that_it_changes(name: str) -> None:
    text = text_of(RECIPES[name].title)
    assert [path for path in touched(name, RECIPES[name]) if not is_named(path, text)] == []


def test_a_file_that_a_recipe_does_not_name_is_detected() -> None:
    text = (
        "1. `peerkd/losses/<name>.py`, and [its table](peerkd/study/ties.py). Run `.venv/bin/pytest tests/unit/study`."
    )
    assert is_named("peerkd/losses/dkd.py", text)
    assert is_named("peerkd/study/ties.py", text)
    assert is_named("tests/unit/study/test_ties.py", text)
    assert not is_named("peerkd/losses/pairs/dkd.py", text)
    assert not is_named("peerkd/study/plan.py", text)


@each_recipe
def test_the_edits_of_a_recipe_find_their_places(name: str) -> None:
    for edit in RECIPES[name].edits:
        edit.find(ROOT)


@pytest.mark.parametrize("text", ["", "a = 1\na = 1\n"])
def test_an_anchor_that_is_lost_is_named_with_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "module.py").write_text(text, encoding="utf-8")
    message = f"module.py must have one line with 'a = ', got {text.count('a')}. .*tests/recipes/recipes.py"
    with pytest.raises(ValueError, match=message):
        Edit("module.py", "a = ", above="b = 2\n").apply(tmp_path)


@each_recipe
def test_a_recipe_changes_few_files_of_the_package(name: str) -> None:
    in_package = [path for path in touched(name, RECIPES[name]) if path.startswith("peerkd/")]
    assert len(in_package) <= RECIPES[name].max_package_files, in_package


@each_recipe
def test_a_recipe_names_the_tests_that_are_run(name: str) -> None:
    text = text_of(RECIPES[name].title)
    assert [path for path in RECIPES[name].tests if not is_named(path, text)] == []


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree in which all recipes were followed, so that their tests need torch only once.

    Somebody else has followed each of them before and formatted the files, so that the examples find their places only
    if they do not depend on what others have added.
    """
    tree = copy_tree(tmp_path_factory.mktemp("recipes") / "tree")
    for follow in (apply_as_another, apply):
        for name, recipe in RECIPES.items():
            follow(name, recipe, tree)
        changed = sorted(
            {path for name, recipe in RECIPES.items() for path in touched(name, recipe) if path.endswith(".py")}
        )
        present = [path for path in changed if (tree / path).exists()]
        for command in (["format"], ["check", "--fix"]):
            done = run(tree, "-m", "ruff", *command, "--quiet", "--no-cache", *present)
            assert done.returncode == 0, done.stdout + done.stderr
    return tree


@pytest.fixture(scope="module")
def outcomes(tree: Path) -> str:
    """The output of the tests of all recipes: a line with the outcome of each, and the failures."""
    paths = {path for recipe in RECIPES.values() for path in recipe.tests}
    selected = " or ".join(f"({recipe.selected})" for recipe in RECIPES.values())
    options = ["-vv", "-n0", "--tb=short", "-p", "no:cacheprovider", "-k", selected]
    return run(tree, "-m", "pytest", *options, *sorted(paths)).stdout


@each_recipe
def test_the_tests_of_a_recipe_pass_after_it_is_followed(name: str, outcomes: str) -> None:
    recipe = RECIPES[name]
    lines = [line for line in outcomes.splitlines() if line.startswith(recipe.tests) and "::" in line]
    assert lines, outcomes
    assert [line for line in lines if " PASSED" not in line] == [], outcomes


def test_every_folder_belongs_to_a_recipe() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_dir() and path.name[0] not in "._"} <= set(RECIPES)


def write_images(folder: Path) -> Path:
    """Write 144 images of 8x8 pixels and 4 classes in the format of MNIST."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for split, num in (("train", 120), ("t10k", 24)):
        labels_N = np.arange(num) % 4
        images_NHW = random.integers(0, 128, (num, 8, 8)) + 30 * labels_N[:, None, None]
        for name, values in ((f"{split}-images-idx3-ubyte", images_NHW), (f"{split}-labels-idx1-ubyte", labels_N)):
            header = bytes((0, 0, 8, values.ndim)) + b"".join(size.to_bytes(4, "big") for size in values.shape)
            (folder / name).write_bytes(header + values.astype(np.uint8).tobytes())
    return folder


def test_all_additions_work_together_from_config_to_report(tree: Path, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images")
    script = tmp_path / "run.py"
    script.write_text(RUN, encoding="utf-8")
    done = run(tree, str(script), EXPERIMENT.format(folder=images), str(tmp_path / "runs"))
    assert done.returncode == 0, done.stdout + done.stderr
    package, report = done.stdout.splitlines()[-2:]
    assert Path(package).is_relative_to(tree)
    page = (Path(report) / "report.html").read_text(encoding="utf-8")
    for words in (
        "example_resnet",
        "example_set",
        "with w_y = label_weight",
        "Example of large gains",
        "example_idx",
        "example_blocks",
    ):
        assert words in page
