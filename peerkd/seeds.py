"""Random streams that depend only on their purpose, and not on the numbers that were drawn before."""

import hashlib

import numpy as np


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed in 0..2^63-1 for one purpose, such as ``("order", "peer-3", epoch)``.

    Different purposes give unrelated seeds, which do not depend on the order of the work. A sweep can therefore be
    divided among workers, killed and resumed without a change in its numbers.
    """
    text = "\x1f".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a numpy generator for one purpose."""
    return np.random.default_rng(derive_seed(seed, *purpose))
