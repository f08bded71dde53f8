"""The components for Kubeflow Pipelines, one folder each.

Each component is a thin typed wrapper around one call of ``peerkd.stages``.
"""
