"""The docstrings of the fields of a class, which describe them in its JSON schema."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise


@cache
def field_docstrings(of_class: type) -> dict[str, str]:
    """Return the docstring below each annotated attribute of a class, also of those that the class inherits.

    The source file is parsed when this function is called. With ``use_attribute_docstrings`` of pydantic, each process
    would parse it when it imports the class, which takes most of the time of the import.
    """
    found: dict[str, str] = {}
    for each in reversed(of_class.__mro__):
        found |= _own_docstrings(each)
    return found


def _own_docstrings(of_class: type) -> dict[str, str]:
    try:
        source = inspect.getsource(of_class)
    except (OSError, TypeError):
        # The class was created without source code, or is written in C.
        return {}
    (statement,) = ast.parse(textwrap.dedent(source)).body
    return dict(_documented(statement.body)) if isinstance(statement, ast.ClassDef) else {}


def _documented(statements: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(statements):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
