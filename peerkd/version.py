"""The version of peerkd. A test compares it with the version in pyproject.toml."""

__version__ = "0.1.0"
