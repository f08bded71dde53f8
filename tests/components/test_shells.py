"""Components are shells: all decisions are made in the package, where unit tests can reach them."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from peerkd.config.launch import LaunchConfig

COMPONENTS = sorted((Path(__file__).parents[2] / "components").glob("*/component.py"))
LAUNCHED = [path for path in COMPONENTS if "launched_component" in path.read_text()]


def function(path: Path) -> ast.FunctionDef:
    (found,) = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    return found


def is_plain(value: ast.expr) -> bool:
    """Return whether an expression is a name, an attribute of a name, or an f-string of these."""
    match value:
        case ast.Name() | ast.Attribute():
            return True
        case ast.JoinedStr(values=parts):
            return all(is_plain(part.value) if isinstance(part, ast.FormattedValue) else True for part in parts)
    return False


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.parent.name)
def test_the_body_of_a_component_is_one_import_and_one_call(path):
    docstring, imported, call = function(path).body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(imported, ast.ImportFrom)
    assert imported.module in ("peerkd.stages", f"peerkd.stages.{path.parent.name}")
    assert isinstance(call, ast.Expr | ast.Return)
    assert isinstance(call.value, ast.Call)
    for argument in [*call.value.args, *(keyword.value for keyword in call.value.keywords)]:
        assert is_plain(argument), ast.unparse(argument)


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.parent.name)
def test_a_component_imports_nothing_but_kfp_and_its_decorator(path):
    imports = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    decorator = ast.unparse(function(path).decorator_list[0])
    assert {ast.unparse(node) for node in imports} - {"from typing import NamedTuple"} == {
        "from kfp import dsl",
        f"from components.decorators import {decorator}",
    }


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.parent.name)
def test_every_input_and_output_is_described(path):
    described = ast.get_docstring(function(path)) or ""
    for argument in function(path).args.args:
        assert f"    {argument.arg}: " in described, argument.arg


def test_exactly_the_component_that_trains_is_launched():
    assert [path.parent.name for path in LAUNCHED] == ["train_and_report"]


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.parent.name)
def test_a_component_passes_the_arguments_that_its_stage_takes(path):
    stage = importlib.import_module(f"peerkd.stages.{path.parent.name}")
    call = next(node for node in ast.walk(function(path).body[2]) if isinstance(node, ast.Call))
    run = getattr(stage, "STAGE", stage).run
    given = {keyword.arg: None for keyword in call.keywords}
    bound = inspect.signature(run).bind(**given)
    launch = bound.arguments.get("launch")
    if isinstance(launch, dict):
        inspect.signature(LaunchConfig.from_parameters).bind(**launch)
