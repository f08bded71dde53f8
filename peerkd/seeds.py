"""Random streams that depend on what they are for, never on what was drawn before."""

import hashlib

import numpy as np


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed in 0..2^63-1 for one purpose, such as ``("order", "peer-3", epoch)``.

    Distinct purposes give unrelated seeds, and the order in which work is done changes none of them. That is what
    lets a sweep be sharded, killed and resumed with the same numbers.
    """
    text = "\x1f".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a numpy generator for one purpose."""
    return np.random.default_rng(derive_seed(seed, *purpose))
