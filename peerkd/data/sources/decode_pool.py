"""Decoding many image files at once, and what was seen while doing so.

B batch, C channels, H W height and width.
"""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from peerkd.data.memory import check_memory
from peerkd.data.passed_over import printable
from peerkd.data.sources.decoding import WHITE, Decoded, PixelRules, decode_file
from peerkd.errors import DataSourceError

ReportProgress = Callable[[int, int], None]
"""Called now and then with the number of files that are done, and of all."""

_MAX_FILES_PER_TASK: Final = 64  # small images decode in 0.1 ms: one by one, a thread would cost as much
_NUM_LISTED: Final = 10


class _Facts(NamedTuple):
    """What remains of a decoded file but for its pixels."""

    size: tuple[int, int]
    has_more_frames: bool
    brightest: float | None
    is_clipped: bool
    digest: bytes


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen of B files."""

    facts: tuple[_Facts | None, ...]
    """Of each file, None for one that cannot be read."""

    unreadable: Mapping[int, str]
    """Index of a file that cannot be read -> the reason."""


def decode_images(
    paths: Sequence[Path],
    *,
    image_size_pixels: int | None,
    pixel_range: tuple[float, float] | None = None,
    background: tuple[int, int, int] = WHITE,
    digests: Sequence[bytes] | None = None,
) -> npt.NDArray[np.uint8]:
    """Decode image files to RGB, in an array of shape (B, 3, H, W).

    Args:
        paths: B of them, at least 1 if ``image_size_pixels`` is None.
        image_size_pixels: H and W, or None to take them from the first image.
        pixel_range: See ``PixelRules``.
        background: See ``PixelRules``.
        digests: SHA-256 that each file must have; None if any will do.

    Raises:
        DataSourceError: If a file cannot be read or has another digest; the message lists the first ten.
        ValueError: If images differ in size and ``image_size_pixels`` is None, or pixels need a ``pixel_range``.
    """
    rules = PixelRules(image_size_pixels, pixel_range, background)
    images_BCHW, survey = decode_readable(paths, rules, with_digests=digests is not None)
    if survey.unreadable:
        count = f"{len(survey.unreadable):,} of {len(paths):,} images"
        names = [str(path) for path in paths]
        raise DataSourceError(f"data.path: {count} cannot be read: {list_unreadable(names, survey.unreadable)}.")
    if digests is not None:
        for path, facts, digest in zip(paths, survey.facts, digests, strict=True):
            if facts is not None and facts.digest != digest:
                raise DataSourceError(
                    f"data.path: {printable(str(path))} has changed since the run began; start the run again."
                )
    return images_BCHW


def decode_readable(
    paths: Sequence[Path], rules: PixelRules, *, with_digests: bool = False, progress: ReportProgress | None = None
) -> tuple[npt.NDArray[np.uint8], Survey]:
    """Decode the files that can be read; the pixels of the others are 0.

    Returns:
        An array of shape (B, 3, H, W), and what was seen.

    Raises:
        ValueError: As ``decode_images``.
    """
    width, height = (rules.image_size_pixels or 0,) * 2
    if rules.image_size_pixels is None:
        width, height = _first_size(paths, rules)
    check_memory(len(paths) * 3 * height * width, what=f"data.path: {len(paths):,} images of {width}x{height} pixels")
    images_BCHW = np.zeros((len(paths), 3, height, width), np.uint8)

    def store(index: int, decoded: Decoded) -> None:
        if decoded.image.size == (width, height):
            images_BCHW[index] = np.asarray(decoded.image).transpose(2, 0, 1)

    return images_BCHW, survey_images(paths, rules, use=store, with_digests=with_digests, progress=progress)


def survey_images(
    paths: Sequence[Path],
    rules: PixelRules,
    *,
    use: Callable[[int, Decoded], None] | None = None,
    with_digests: bool = False,
    progress: ReportProgress | None = None,
) -> Survey:
    """Decode files in a pool of threads, each once.

    Args:
        paths: B of them.
        rules: See ``PixelRules``.
        use: Takes index and content of each image. None: the pixels are not needed, only whether they can be had.
        with_digests: Whether to compute the digests of the files.
        progress: Told how far it is.

    Raises:
        ValueError: As ``decode_images``.
    """
    num_threads = os.cpu_count() or 1
    # A batch is spread over all threads, however small it is.
    files_per_task = max(1, min(_MAX_FILES_PER_TASK, len(paths) // num_threads))

    def decode_block(start: int) -> list[_Facts | str]:
        results: list[_Facts | str] = []
        for index, path in enumerate(paths[start : start + files_per_task], start):
            try:
                decoded = decode_file(path, rules, with_digest=with_digests, at_low_cost=use is None)
            except DataSourceError as error:
                results.append(str(error))
                continue
            if use is not None:
                use(index, decoded)
            results.append(_Facts(decoded.image.size, *decoded[1:]))
        return results

    facts: list[_Facts | None] = []
    unreadable: dict[int, str] = {}
    with warnings.catch_warnings():
        # Pillow warns of large images and odd tags, once for each file. What matters of that is an error.
        warnings.simplefilter("ignore")
        # Threads suffice, since Pillow decodes without the interpreter lock; more than one per core contend for it.
        with ThreadPoolExecutor(num_threads) as pool:
            for results in pool.map(decode_block, range(0, len(paths), files_per_task)):
                for result in results:
                    if isinstance(result, str):
                        unreadable[len(facts)] = result
                    facts.append(None if isinstance(result, str) else result)
                if progress is not None:
                    progress(len(facts), len(paths))
    if rules.image_size_pixels is None:
        _check_sizes(paths, facts)
    return Survey(tuple(facts), unreadable)


def list_unreadable(names: Sequence[str], unreadable: Mapping[int, str]) -> str:
    """Return which files cannot be read and why, ten of them at most."""
    listed = "; ".join(
        f"{printable(names[index])} ({reason})" for index, reason in list(unreadable.items())[:_NUM_LISTED]
    )
    more = f"; and {len(unreadable) - _NUM_LISTED:,} more" if len(unreadable) > _NUM_LISTED else ""
    return f"{listed}{more}"


def _first_size(paths: Sequence[Path], rules: PixelRules) -> tuple[int, int]:
    """Return width and height of the first image that can be read, (1, 1) if there is none."""
    for path in paths:
        try:
            return decode_file(path, rules).image.size
        except DataSourceError:
            continue
    return 1, 1


def _check_sizes(paths: Sequence[Path], facts: Sequence[_Facts | None]) -> None:
    first: tuple[Path, tuple[int, int]] | None = None
    for path, each in zip(paths, facts, strict=True):
        if each is None:
            continue
        if first is None:
            first = path, each.size
        if each.size != first[1]:
            raise ValueError(
                f"data.image_size_pixels must be set when images differ in size: {printable(str(path))} is "
                f"{each.size[0]}x{each.size[1]}, {printable(str(first[0]))} is {first[1][0]}x{first[1][1]}."
            )
