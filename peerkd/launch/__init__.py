"""The control plane: backends, jobs on a Kubernetes cluster, and runs on a Kubeflow Pipelines server.

The Kubernetes API and the Kubeflow Pipelines server are external services. For each of them, one module of this package
sends all requests.
"""
