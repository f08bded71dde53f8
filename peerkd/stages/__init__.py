"""The stages of a pipeline. Each stage has a file of its own, and computes an artifact from a config.

Only here do the compute and control planes meet.

A launched stage has two files. The file in this folder starts the workers and waits for them; it does not need torch.
The file in ``work/`` does the work of one worker.
"""
