"""The docstrings of the fields of a class, which describe them in its JSON schema."""

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise


@cache
def field_docstrings(of_class: type) -> dict[str, str]:
    """Return the docstring below each annotated attribute of a class, including the attributes that the class inherits.

    The source file is parsed when this function is called. With ``use_attribute_docstrings`` of pydantic, each process
    would parse it when it imports the class, which takes most of the time of the import.
    """
    found: dict[str, str] = {}
    for each in reversed(of_class.__mro__):
        found |= _docstrings_of_module(each.__module__).get(each.__qualname__, {})
    return found


@cache
def _docstrings_of_module(name: str) -> dict[str, dict[str, str]]:
    """Return the docstrings of the attributes of each class of a module, keyed by the qualified name of the class.

    ``inspect.getsource`` of a class parses the whole file, so a call for each class would parse a file many times.
    """
    try:
        source = inspect.getsource(sys.modules[name])
    except (OSError, TypeError, KeyError):
        # The module was created without source code, or is written in C.
        return {}
    return dict(_classes(ast.parse(source).body, ""))


def _classes(statements: list[ast.stmt], prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
    for each in statements:
        match each:
            case ast.ClassDef(name=name, body=body):
                yield prefix + name, dict(_documented(body))
                yield from _classes(body, f"{prefix}{name}.")
            case ast.FunctionDef(name=name, body=body):
                yield from _classes(body, f"{prefix}{name}.<locals>.")


def _documented(statements: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(statements):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
