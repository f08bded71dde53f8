"""Runs on a Kubeflow Pipelines server: sending one, waiting for its end, and saying why it failed."""
