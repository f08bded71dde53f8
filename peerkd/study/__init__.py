"""The rules of the domain, each written once: the trials, their order, and the objective of a choice."""
