"""The component ``compare_methods``."""

from components.compare_methods.component import compare_methods

__all__ = ["compare_methods"]
