"""Partitioners as a user's module has them, good ones and bad ones. Tests import this module by its name."""

from typing import Any

import numpy as np

from peerkd.arrays import IntArray


def by_parity(labels: IntArray, *, sizes: IntArray, rng: np.random.Generator, first: int = 0) -> list[IntArray]:
    """Give even classes to the first half of the peers and odd classes to the others, or the other way round."""
    peers = np.array_split(np.arange(len(sizes)), 2)
    parts: list[IntArray] = [np.empty(0, dtype=np.int64)] * len(sizes)
    for parity, owners in zip((first, 1 - first), peers, strict=True):
        shuffled = rng.permutation(np.flatnonzero(labels % 2 == parity))
        for peer, part in zip(owners, np.array_split(shuffled, len(owners)), strict=True):
            parts[peer] = part
    return parts


def raises(labels: IntArray, *, sizes: IntArray, rng: np.random.Generator) -> list[IntArray]:
    raise KeyError("hospital")


def one_peer_less(labels: IntArray, *, sizes: IntArray, rng: np.random.Generator) -> list[IntArray]:
    return by_parity(labels, sizes=sizes, rng=rng)[1:]


def all_for_all(labels: IntArray, *, sizes: IntArray, rng: np.random.Generator) -> list[IntArray]:
    return [np.arange(len(labels))] * len(sizes)


def shares(labels: IntArray, *, sizes: IntArray, rng: np.random.Generator) -> Any:
    return [size / len(labels) for size in sizes]


not_a_function = 3
