"""Decoding of many image files in parallel.

Shape suffixes: B = files, C = channels, H W = image size.
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
from peerkd.data.sources.decoding import Decoded, decode_file
from peerkd.data.sources.pixel_rules import PixelRules, ReportProgress
from peerkd.data.wording import listed, printable
from peerkd.errors import DataSourceError

_MAX_FILES_PER_TASK: Final = 64  # The overhead of a task is about 0.1 ms, the time in which a small image is decoded.
_NUM_LISTED: Final = 10


class _FileFacts(NamedTuple):
    """The fields of ``Decoded`` for one file, except that ``size`` takes the place of the image."""

    size: tuple[int, int]
    """Width and height of the decoded image."""

    has_more_frames: bool
    brightest: float | None
    is_clipped: bool
    digest: bytes


@dataclass(frozen=True, slots=True)
class Survey:
    """The results of decoding B files, without their pixels."""

    facts: tuple[_FileFacts | None, ...]
    """The properties of each of the B files; None for a file that cannot be read."""

    unreadable: Mapping[int, str]
    """The reason why a file cannot be read, for each such file, keyed by the index of the file."""


def decode_images(
    paths: Sequence[Path], rules: PixelRules, *, digests: Sequence[bytes] | None = None
) -> npt.NDArray[np.uint8]:
    """Decode image files to RGB, in an array of shape (B, 3, H, W).

    Args:
        paths: Paths of the B files.
        rules: How the content of a file becomes RGB.
        digests: The SHA-256 that each file must have; None to accept any.

    Raises:
        DataSourceError: If a file cannot be read or has another digest; the message lists the first ten.
        ValueError: If images differ in size and the rules do not set a size, or pixels need a ``pixel_range``.
    """
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
    """Decode to RGB all files that can be read. A file that cannot be read does not raise an error.

    Returns:
        The images, of shape (B, 3, H, W), and the properties of the files. If a file cannot be read, all its pixels are
        0.

    Raises:
        ValueError: If images differ in size and the rules do not set a size, or pixels need a ``pixel_range``.
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
    """Decode each file once, in a pool of threads, and return the properties of all files.

    Args:
        paths: Paths of the B files.
        rules: How the content of a file becomes RGB.
        use: Called with the index and the content of each image. If it is None, files are decoded only as far as is
            needed to detect damage.
        with_digests: Whether to compute the SHA-256 of the files.
        progress: Called with the number of processed files.

    Raises:
        ValueError: If images differ in size and the rules do not set a size, or pixels need a ``pixel_range``.
    """
    num_threads = os.cpu_count() or 1
    # A small batch is divided among all threads as well.
    files_per_task = max(1, min(_MAX_FILES_PER_TASK, len(paths) // num_threads))

    def decode_block(start: int) -> list[_FileFacts | str]:
        results: list[_FileFacts | str] = []
        for index, path in enumerate(paths[start : start + files_per_task], start):
            try:
                decoded = decode_file(path, rules, with_digest=with_digests, at_low_cost=use is None)
            except DataSourceError as error:
                results.append(str(error))
                continue
            if use is not None:
                use(index, decoded)
            results.append(_FileFacts(decoded.image.size, *decoded[1:]))
        return results

    facts: list[_FileFacts | None] = []
    unreadable: dict[int, str] = {}
    with warnings.catch_warnings():
        # Pillow warns about large images and unusual tags in each file. Real problems raise an error in any case.
        warnings.simplefilter("ignore")
        # Threads suffice, because Pillow releases the interpreter lock; more than one per core would compete for it.
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
    """Return the names of the first files that cannot be read, with their reasons."""
    reasons = [f"{names[index]} ({reason})" for index, reason in unreadable.items()]
    return listed(reasons, num_named=_NUM_LISTED, separator="; ")


def _first_size(paths: Sequence[Path], rules: PixelRules) -> tuple[int, int]:
    """Return the width and height of the first image that can be read, or (1, 1) if none can be read."""
    for path in paths:
        try:
            return decode_file(path, rules).image.size
        except DataSourceError:
            continue
    return 1, 1


def _check_sizes(paths: Sequence[Path], facts: Sequence[_FileFacts | None]) -> None:
    first: tuple[Path, tuple[int, int]] | None = None
    for path, each in zip(paths, facts, strict=True):
        if each is None:
            continue
        if first is None:
            first = path, each.size
        if each.size != first[1]:
            raise ValueError(
                f"data.image_size_pixels must be set when images differ in size, as in data.image_size_pixels=32: "
                f"{printable(str(path))} is {each.size[0]}x{each.size[1]}, {printable(str(first[0]))} is "
                f"{first[1][0]}x{first[1][1]}."
            )
