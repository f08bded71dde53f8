"""Importing single modules of packages that import all of themselves: a launcher of 60 MiB instead of 85.

``import kubernetes`` reads 700 models and all of its API, of which a launcher needs about twenty files.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def bare(*packages: str) -> Iterator[None]:
    """Import modules of these packages, within this context, without their packages' ``__init__``.

    Afterwards the packages are as if they had never been imported, so that a later import gets them whole. If
    they are already imported, nothing is done, because nothing can be saved.

    Args:
        packages: Each after the package that it is in.
    """
    if any(package in sys.modules for package in packages):
        yield
        return
    try:
        for package in packages:
            spec = importlib.util.find_spec(package)
            if spec is None:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)
            sys.modules[package] = importlib.util.module_from_spec(spec)
            parent, _, name = package.rpartition(".")
            if parent:
                setattr(sys.modules[parent], name, sys.modules[package])
        yield
    finally:
        for name in list(sys.modules):
            if name.startswith(tuple(f"{package}." for package in packages)) or name in packages:
                del sys.modules[name]
