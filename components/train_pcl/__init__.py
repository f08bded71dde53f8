"""The component ``train_pcl``."""

from components.train_pcl.component import train_pcl

__all__ = ["train_pcl"]
