"""The control plane: backends, jobs on a Kubernetes cluster, and runs on a Kubeflow Pipelines server.

Each of these services is called from one module of this package only.
"""
