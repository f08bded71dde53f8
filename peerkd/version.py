"""The version of peerkd. A test compares it with that of the package."""

__version__ = "0.1.0"
