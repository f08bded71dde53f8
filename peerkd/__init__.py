"""Distillation between peers. Importing this package loads neither torch nor kfp."""

__version__ = "0.1.0"
