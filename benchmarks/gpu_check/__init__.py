"""A check of the code for GPUs on a real one: ``make gpu-check``, eight minutes at most."""
