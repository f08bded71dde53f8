"""What a tuner must beat: the default, one setting for all, and what is usually done, each as good as it can be made.

Each module has ``build(space, *, seed, earlier)``. All keep what they know in ``known`` and work through scripts; at
any budget a pair that was never measured gets what did best on those that were. None looks at features of pairs.
"""
