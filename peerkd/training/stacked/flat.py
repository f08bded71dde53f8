"""The tensors of many students in one contiguous tensor, so that a step of the optimiser is a few operations.

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
    """The tensors of G students that have the same names and shapes, stored in one contiguous tensor.

    Every tensor is padded with rows of zeros, so that each student's part begins at a multiple of 64 bytes. Without
    this alignment, the matrix library was observed to choose the order of addition by the student's index, so that the
    last bits of a student's weights depended on it.

    The contiguous tensor is padded at its end as well. Otherwise its last few numbers would be processed one by one and
    not several at once.
    """

    def __init__(self, shapes: Mapping[str, torch.Size], *, num_students: int, dtype: torch.dtype) -> None:
        """Create the tensors with zeros in them.

        Args:
            shapes: The shapes of one student's tensors, by name.
            num_students: G.
            dtype: The type of the numbers.
        """
        self._num_rows = {name: shape[0] for name, shape in shapes.items()}
        padded = {name: (num_students, _fill_up(shape[0], _MULTIPLE), *shape[1:]) for name, shape in shapes.items()}
        sizes = [prod(shape) for shape in padded.values()]
        self.numbers = torch.zeros(_fill_up(sum(sizes), _MULTIPLE_OF_ALL), dtype=dtype)
        """The numbers of all tensors of all students, in one dimension."""
        parts = self.numbers[: sum(sizes)].split(sizes)
        self.named = {name: part.view(shape) for part, (name, shape) in zip(parts, padded.items(), strict=True)}
        """The tensors by name, as contiguous views of ``numbers``.

        The first dimension of each is G. The second dimension includes the padding rows."""

    def put(self, index: int, tensors: Mapping[str, Tensor]) -> None:
        """Copy tensors into the part of one student. Tensors with unknown names are ignored."""
        for name, num_rows in self._num_rows.items():
            self.named[name][index, :num_rows] = tensors[name]

    def of_students(self) -> list[Tensor]:
        """Return views of all tensors without the padding. The first dimension of each is G."""
        return [self.named[name][:, :num_rows] for name, num_rows in self._num_rows.items()]

    def are_of(self, indices: Sequence[int]) -> Tensor:
        """Return a mask with the shape of ``numbers`` that is True for all numbers of these students."""
        mask = torch.zeros_like(self.numbers, dtype=torch.bool)
        sizes = [tensor.numel() for tensor in self.named.values()]
        for part, tensor in zip(mask[: sum(sizes)].split(sizes), self.named.values(), strict=True):
            part.view(tensor.shape)[list(indices)] = True
        return mask

    def take(self, index: int) -> dict[str, Tensor]:
        """Return copies of one student's tensors."""
        return {name: self.named[name][index, :num_rows].clone() for name, num_rows in self._num_rows.items()}


def _fill_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
