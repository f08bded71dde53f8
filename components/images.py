"""Image references used by components, one place."""

from typing import Final

PYTHON_IMAGE: Final = "ghcr.io/peerkd/peerkd-python:0.1.0"
"""peerkd with all of its extras: what a component's body runs in."""
