"""The pipelines for Kubeflow Pipelines: graphs of components, and the YAML files to which they are compiled.

The pipelines contain no logic of their own.
"""
