"""The backend ``kubernetes``.

Only ``transport.py`` sends requests to the Kubernetes API; all other modules handle plain mappings.
"""
