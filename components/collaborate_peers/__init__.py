"""The component ``collaborate_peers``."""

from components.collaborate_peers.component import collaborate_peers

__all__ = ["collaborate_peers"]
