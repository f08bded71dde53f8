"""Stores of artifacts: one interface, with a backend for folders and one for buckets.

The package knows bytes and manifests, and not what the files mean.
"""
