"""Bounds of batches and of the parts of batches. This module needs no torch."""


def batch_bounds(num_samples: int, *, batch_size: int) -> list[int]:
    """Return the sorted bounds of the batches of an epoch, from 0 to ``num_samples``.

    Batch i begins at bound i and ends before bound i + 1.

    There are as few batches of at most ``batch_size`` samples as possible, and their sizes differ by at most one.
    With a ``batch_size`` of at least 3, no batch has only one sample, on which batch normalisation cannot train.
    """
    num_batches = -(-num_samples // batch_size)
    return [num_samples * batch // num_batches for batch in range(num_batches + 1)]


def part_of(span: tuple[int, int], part: tuple[int, int]) -> tuple[int, int]:
    """Return start and end of one part of a batch that is divided into parts of nearly equal size.

    Args:
        span: Start and end of the batch.
        part: The index of the part, from 0, and the number of parts.

    Raises:
        ValueError: If one of several parts has fewer than two samples, on which batch normalisation cannot train.
    """
    start, stop = span
    index, num_parts = part
    if num_parts > 1 and (stop - start) // num_parts < 2:
        raise ValueError(
            "training.num_processes must leave every process at least 2 samples of a batch, "
            f"got {num_parts} for a batch of {stop - start}."
        )
    return start + (stop - start) * index // num_parts, start + (stop - start) * (index + 1) // num_parts
