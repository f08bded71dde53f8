"""Rivals of the tuner: the untuned default, one setting for all pairs, and the usual methods, each as good as possible.

Each module has a function ``build(space, *, seed, earlier)``. All rivals store their observations in ``known``, and run
as scripts. A pair without any measurement gets the setting that did best on the measured pairs. No rival uses features
of pairs.
"""
