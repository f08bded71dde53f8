"""Where batches, and the parts of batches, begin and end. No torch."""


def batch_bounds(num_samples: int, *, batch_size: int) -> list[int]:
    """Return where the batches of an epoch begin and end: as few as ``batch_size`` allows, of nearly equal size.

    From a ``batch_size`` of 3 on, no batch has one sample, which batch normalisation cannot train on.
    """
    num_batches = -(-num_samples // batch_size)
    return [num_samples * batch // num_batches for batch in range(num_batches + 1)]


def part_of(span: tuple[int, int], part: tuple[int, int]) -> tuple[int, int]:
    """Return where a part of a batch begins and ends, of parts of nearly equal size.

    Args:
        span: Where the batch begins and ends.
        part: Which part, the first being 0, and how many there are.

    Raises:
        ValueError: If one of several parts has fewer than two samples, on which batch normalisation cannot train.
    """
    start, stop = span
    place, num_parts = part
    if num_parts > 1 and (stop - start) // num_parts < 2:
        raise ValueError(
            "training.num_processes must leave every process at least 2 samples of a batch, "
            f"got {num_parts} for a batch of {stop - start}."
        )
    return start + (stop - start) * place // num_parts, start + (stop - start) * (place + 1) // num_parts
