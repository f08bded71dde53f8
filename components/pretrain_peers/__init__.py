"""The component ``pretrain_peers``."""

from components.pretrain_peers.component import pretrain_peers

__all__ = ["pretrain_peers"]
