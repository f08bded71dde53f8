"""Checks of a cluster, each a function that returns what it found and how to fix it."""
