"""Checks of a cluster. Each check is a function that returns a result, which says how to fix a failure."""
