"""The stages of a pipeline, one file each: config in, artifact out. Only here do the two planes meet.

A stage whose work is launched has two files: the one here orders the work, without torch, and the one in ``work/`` does
the work of one worker.
"""
