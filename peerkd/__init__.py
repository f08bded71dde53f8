"""Peer distillation: everything that decides. Importing this costs nothing: no torch, no kfp."""

__version__ = "0.1.0"
