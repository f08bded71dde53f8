"""Checks of a cluster. Each check is a function that returns a result and, for a failure, a fix."""
