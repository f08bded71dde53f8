"""Components are shells: what can be decided is decided in the package, where tests reach it."""

import ast
from pathlib import Path

import pytest

COMPONENTS = sorted((Path(__file__).parents[2] / "components").glob("*/component.py"))


def function(path: Path) -> ast.FunctionDef:
    (found,) = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    return found


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.parent.name)
def test_a_body_is_one_import_and_one_call(path):
    docstring, imported, call = function(path).body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(imported, ast.ImportFrom)
    assert imported.module == "peerkd.stages"
    assert isinstance(call, ast.Expr | ast.Return)
    assert isinstance(call.value, ast.Call)
    for argument in [*call.value.args, *(keyword.value for keyword in call.value.keywords)]:
        assert isinstance(argument, ast.Name | ast.Attribute), ast.unparse(argument)


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.parent.name)
def test_a_component_imports_nothing_but_kfp_and_its_image(path):
    imports = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {ast.unparse(node) for node in imports} == {
        "from kfp import dsl",
        "from components.images import PYTHON_IMAGE",
    }


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.parent.name)
def test_every_input_and_output_is_described(path):
    described = ast.get_docstring(function(path)) or ""
    for argument in function(path).args.args:
        assert f"    {argument.arg}: " in described, argument.arg
