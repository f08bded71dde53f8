"""The stages of a pipeline. Each stage has a file of its own, and computes an artifact from a config.

Only this package imports both the code that trains networks and the code that launches jobs.

A stage whose work is done by workers has two files. The file in this folder starts the workers and waits for them; it
does not need torch. The file in ``work/`` does the work of one worker.
"""
