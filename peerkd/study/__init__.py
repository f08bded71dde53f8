"""The rules of an experiment: kinds of transfer sets, trials, evaluation sets, ties, and the objective of a choice.

Each rule is written here once, and all other packages use it.
"""
