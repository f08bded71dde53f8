"""Invocations of a run: what ``peerkd run`` writes while it works, and what other commands read.

An invocation is one call of the command on this machine. The artifacts of the run are in the store, wherever that is.
"""
