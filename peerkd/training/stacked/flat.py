"""The tensors of many students in one piece of memory, so that an optimiser's step is a few operations.

Shape suffixes: G = students.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Final

import torch
from torch import Tensor

_MULTIPLE: Final = 16
_MULTIPLE_OF_ALL: Final = 64


class FlatTensors:
    """Tensors of the same names and shapes for each of G students.

    The rows of every tensor are filled up with zeros, so that each student's part begins at a multiple of 64 bytes.
    Where it began elsewhere, the matrix library was seen to add in another order, and a student's last bits to depend
    on its place. The whole is filled up, too: its last few numbers are done one by one, not several at once.
    """

    def __init__(self, shapes: Mapping[str, torch.Size], *, num_students: int, dtype: torch.dtype) -> None:
        """Make zeros.

        Args:
            shapes: Of one student's tensors.
            num_students: G.
            dtype: Of the numbers.
        """
        self._num_rows = {name: shape[0] for name, shape in shapes.items()}
        padded = {name: (num_students, _fill_up(shape[0], _MULTIPLE), *shape[1:]) for name, shape in shapes.items()}
        sizes = [prod(shape) for shape in padded.values()]
        self.numbers = torch.zeros(_fill_up(sum(sizes), _MULTIPLE_OF_ALL), dtype=dtype)
        """All of them, in one dimension."""
        parts = self.numbers[: sum(sizes)].split(sizes)
        self.named = {name: part.view(shape) for part, (name, shape) in zip(parts, padded.items(), strict=True)}
        """Views of ``numbers``, contiguous; their first dimension is G, their second the rows with those filled up."""

    def put(self, place: int, tensors: Mapping[str, Tensor]) -> None:
        """Copy one student's tensors in; others that are given are passed over."""
        for name, num_rows in self._num_rows.items():
            self.named[name][place, :num_rows] = tensors[name]

    def of_students(self) -> list[Tensor]:
        """Return views of all tensors without their rows of padding; the first dimension of each is G."""
        return [self.named[name][:, :num_rows] for name, num_rows in self._num_rows.items()]

    def are_of(self, places: Sequence[int]) -> Tensor:
        """Return which of ``numbers`` are of these students, as a mask of the same shape."""
        mask = torch.zeros_like(self.numbers, dtype=torch.bool)
        sizes = [tensor.numel() for tensor in self.named.values()]
        for part, tensor in zip(mask[: sum(sizes)].split(sizes), self.named.values(), strict=True):
            part.view(tensor.shape)[list(places)] = True
        return mask

    def take(self, place: int) -> dict[str, Tensor]:
        """Return copies of one student's tensors."""
        return {name: self.named[name][place, :num_rows].clone() for name, num_rows in self._num_rows.items()}


def _fill_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
