import pytest
import torch

from peerkd.training.stacked.flat import FlatTensors

NUM_FILLED_UP = 6 * 3 + 6
"""Return the tensors of a student: a and b have 10 rows, padded to 16."""

SHAPES = {"a": torch.Size([10, 3]), "b": torch.Size([10]), "c": torch.Size([16, 5, 3, 3])}


@pytest.mark.parametrize("num_students", [1, 2, 3, 17])
def test_each_students_part_begins_at_a_multiple_of_64_bytes(num_students):
    flat = FlatTensors(SHAPES, num_students=num_students, dtype=torch.float32)
    assert flat.numbers.data_ptr() % 64 == 0
    assert flat.numbers.numel() % 64 == 0
    for stacked in flat.named.values():
        assert stacked.is_contiguous()
        assert [student.data_ptr() % 64 for student in stacked] == [0] * num_students


def test_tensors_are_returned_as_stored_and_padding_is_zero():
    flat = FlatTensors(SHAPES, num_students=2, dtype=torch.float32)
    tensors = {name: torch.rand(shape) + 1 for name, shape in SHAPES.items()}
    flat.put(1, tensors | {"of no concern": torch.ones(1)})
    taken = flat.take(1)
    assert taken.keys() == tensors.keys()
    assert all(torch.equal(taken[name], tensors[name]) for name in tensors)
    assert flat.numbers.count_nonzero() == sum(shape.numel() for shape in SHAPES.values())
    is_there = flat.are_of([1])
    assert flat.numbers[is_there].count_nonzero() == flat.numbers.count_nonzero() == is_there.sum() - NUM_FILLED_UP
    assert torch.equal(flat.are_of([0]) | is_there, flat.are_of([1, 0]))
    taken["a"].zero_()
    assert torch.equal(flat.take(1)["a"], tensors["a"])
