"""The version of peerkd. A test compares it with the version in the metadata of the package."""

__version__ = "0.1.0"
