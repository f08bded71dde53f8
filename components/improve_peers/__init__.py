"""The component ``improve_peers``."""

from components.improve_peers.component import improve_peers

__all__ = ["improve_peers"]
