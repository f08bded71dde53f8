"""The pipeline ``pcl``."""
