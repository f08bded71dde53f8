"""The stages of a pipeline, one file each: from a config to an artifact.

Only here do the compute and control planes meet.

A launched stage has two files: the one here orders the work and needs no torch, and the one in ``work/`` does the work
of one worker.
"""
