"""Runs on a Kubeflow Pipelines server: sending a run, waiting for its end, and explaining why it failed."""
