"""Stores of artifacts: one interface, with a backend for folders and one for buckets.

The package handles bytes and manifests, and does not know the meaning of the files.
"""
