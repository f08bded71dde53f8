"""The steps of a pipeline, one file each: config in, artifact out. Here the two planes meet, and nowhere else.

A stage whose work is launched is two files: here what orders it, without torch, and in ``work/`` what a worker does.
"""
