"""Data sets of numpy arrays: an npz file, or a folder of npy files.

    images, labels                                          without splits
    train_images, train_labels, test_images, test_labels    with two splits
    train_..., val_..., test_...                            with three splits, as in the files of MedMNIST
    class_names                                             optional names of the classes

The images may also be called ``image``, ``x`` or ``data``, and the labels ``label``, ``y``, ``target`` or ``targets``.
The name of a split may be a prefix or a suffix, as in ``x_train``. ``peerkd.data.sources.splits`` defines the names and
uses of splits, and ``peerkd.data.sources.labels`` the conversion of labels to classes.

Any other array with one value per sample becomes a column: ``patient`` in addition to ``images``, or ``train_patient``
and ``test_patient`` in addition to ``train_images`` and ``test_images``.

Shape suffixes: N = samples, C = channels, H W = image size, K = classes.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, get_args

import numpy as np
import numpy.typing as npt

from peerkd.data.dataset import RawDataset
from peerkd.data.memory import check_memory
from peerkd.data.skipped import Tally
from peerkd.data.sources.arrays import ArrayFiles, Header, open_arrays
from peerkd.data.sources.labels import read_classes
from peerkd.data.sources.scaling import scale_to_uint8
from peerkd.data.sources.splits import Split, split_of, split_remarks, validation_is_for_choices
from peerkd.data.wording import printable
from peerkd.errors import DataSourceError
from peerkd.wording import plural

_NUM_CHANNELS: Final = (1, 3)
_BLOCK_VALUES: Final = 2**20
_SYNONYMS: Final = {"images": ("image", "x", "X", "data"), "labels": ("label", "y", "Y", "targets", "target")}
_COLUMN_KINDS: Final = {"b": "truth values", "i": "numbers", "u": "numbers", "f": "numbers", "U": "text", "S": "bytes"}


def read_npz(path: Path, *, pixel_range: tuple[float, float] | None = None) -> RawDataset:
    """Read the arrays at ``path``. The images have shape NCHW or NHWC with C = 1 or 3, or shape NHW.

    Args:
        path: An npz file or a folder of npy files.
        pixel_range: The values that become 0 and 255 in images that are not uint8; None refuses such images.

    Raises:
        DataSourceError: If ``path`` cannot be read, or its arrays do not have the names in the module's docstring,
            these shapes, or supported types.
    """
    with open_arrays(path) as files:
        try:
            return _assemble(path, files, pixel_range)
        except ValueError as error:
            raise DataSourceError(f"data.path: {printable(str(path))}: {error}") from error


def _assemble(path: Path, files: ArrayFiles, pixel_range: tuple[float, float] | None) -> RawDataset:
    headers = files.headers
    tally = Tally()
    for name in files.other_names:
        tally.add("files that are not arrays", name)
    names = [name for name in headers if name != "class_names"]
    by_split = _by_split(names)
    for name in sorted(set(names).difference(*(of_split.values() for of_split in by_split.values()))):
        tally.add("arrays that belong to no split", f"{name}: {headers[name]}")
    _check_samples(by_split, headers, has_range=pixel_range is not None)
    columns = _column_names(by_split, headers, tally)
    images = [of_split["images"] for of_split in by_split.values()]
    others = [of_split[what] for of_split in by_split.values() for what in ("labels", *columns)]
    others += [name for name in ("class_names",) if name in headers]
    num_bytes = _needed_bytes([headers[name] for name in images], [headers[name] for name in others])
    check_memory(num_bytes, what=f"data.path: {printable(str(path))}")
    classes = read_classes(
        {of_split["labels"]: files.read(of_split["labels"]) for of_split in by_split.values()},
        files.read("class_names") if "class_names" in headers else None,
    )
    images_NCHW, num_clipped = _read_images(files, images, pixel_range)
    remarks = classes.remarks
    if num_clipped:
        remarks += (f"{plural(num_clipped, 'image')} with values outside data.pixel_range, which become 0 or 255",)
    remarks += split_remarks({split: of_split["images"] for split, of_split in by_split.items()})
    num_of = {split: headers[of_split["images"]].shape[0] for split, of_split in by_split.items()}
    return RawDataset(
        images_NCHW=images_NCHW,
        labels_N=np.concatenate(list(classes.labels_of_split.values())),
        num_train=num_of["train"],
        num_validation=num_of["validation"] if validation_is_for_choices(by_split) else 0,
        class_names=classes.class_names,
        label_values=classes.label_values,
        columns={
            column: np.concatenate([files.read(of_split[column]).reshape(-1) for of_split in by_split.values()])
            for column in columns
        },
        name=printable(path.stem),
        remarks=remarks,
        skipped=tally.skipped(),
    )


def _needed_bytes(images: Sequence[Header], others: Sequence[Header]) -> int:
    """Return the memory that is needed to read these arrays.

    The images of all splits are kept in memory as uint8. While a split is read, its images are in memory a second time,
    in the type of the file. Labels and columns count four times, because sorting copies them.
    """
    packed_bytes = sum(math.prod(header.shape) for header in images)
    return packed_bytes + max(header.num_bytes for header in images) + 4 * sum(header.num_bytes for header in others)


def _by_split(names: Sequence[str]) -> dict[Split, dict[str, str]]:
    """Return the name of each array, keyed by its split and its content, as in ``by_split["train"]["images"]``.

    Raises:
        ValueError: If the training split has no images or no labels, a split lacks an array that another split has, or
            an array or a split is there twice.
    """
    by_split: dict[Split, dict[str, str]] = {}
    for name in names:
        split, what = _parse_name(name)
        if split is None:
            continue
        earlier = by_split.setdefault(split, {}).setdefault(what, name)
        if earlier != name:
            raise ValueError(f"it must contain the {split} split once, got {earlier} and {name}.")
    has_splits = any("images" in _without_synonyms(of_split) for of_split in by_split.values())
    if has_splits and "images" in _without_synonyms(dict.fromkeys(names, "")):
        raise ValueError(f"it must contain images either with or without splits, got both: {', '.join(names)}.")
    if not has_splits:
        by_split = {"train": {name: name for name in names}}
    by_split = {split: _without_synonyms(by_split[split]) for split in get_args(Split) if split in by_split}
    for what in ("images", "labels"):
        if what not in by_split.get("train", {}):
            raise ValueError(f"it must contain {what} or train_{what}, got {', '.join(names) or 'no array'}.")
    everything = {what for of_split in by_split.values() for what in of_split}
    for of_split in by_split.values():
        missing = sorted(everything.difference(of_split))
        if missing:
            raise ValueError(
                f"it must contain the same arrays for every split, got {', '.join(of_split.values())} without "
                f"{', '.join(missing)}."
            )
    return by_split


def _parse_name(name: str) -> tuple[Split | None, str]:
    """Return the split that a name begins or ends with, or None, and the rest of the name."""
    first, _, after = name.partition("_")
    before, _, last = name.rpartition("_")
    for word, rest in ((first, after), (last, before)):
        split = split_of(word)
        if split is not None and rest:
            return split, rest
    return None, name


def _without_synonyms(names: Mapping[str, str]) -> dict[str, str]:
    """Return the names, with ``images`` and ``labels`` as keys in place of their synonyms, such as ``x`` and ``y``."""
    plain = dict(names)
    for word, synonyms in _SYNONYMS.items():
        for synonym in synonyms:
            if word not in plain and synonym in plain:
                plain[word] = plain.pop(synonym)
    return plain


def _check_samples(
    by_split: Mapping[Split, Mapping[str, str]], headers: Mapping[str, Header], *, has_range: bool
) -> None:
    """Check the type and the shape of all images, and that every image has a label.

    Raises:
        ValueError: If one of the checks fails.
    """
    train = by_split["train"]["images"]
    for of_split in by_split.values():
        images, labels = of_split["images"], of_split["labels"]
        shape = headers[images].shape
        if shape and shape[0] == 0:
            raise ValueError(f"{images} must contain at least one sample, got none. Omit a split without samples.")
        if headers[images].dtype != np.uint8 and (not has_range or headers[images].dtype.kind not in "biuf"):
            raise ValueError(
                f"{images} must be uint8, got {headers[images].dtype}. For other numbers, set data.pixel_range to the "
                "values of black and white, such as [0,1]."
            )
        if _image_shape(images, shape) != _image_shape(train, headers[train].shape):
            raise ValueError(
                f"{train} and {images} must have images of the same shape, got {headers[train].shape} and {shape}."
            )
        num_labels = headers[labels].shape[0] if headers[labels].shape else 1
        if num_labels != shape[0]:
            raise ValueError(
                f"{images} and {labels} must have the same number of samples, got {shape[0]:,} and {num_labels:,}: "
                f"{headers[images].shape} and {headers[labels].shape}."
            )


def _column_names(
    by_split: Mapping[Split, Mapping[str, str]], headers: Mapping[str, Header], tally: Tally
) -> tuple[str, ...]:
    """Return the names of the arrays with one value per sample in every split, and count the arrays of other shapes."""
    columns = []
    for column in sorted(by_split["train"].keys() - {"images", "labels"}):
        names = [of_split[column] for of_split in by_split.values()]
        if any(not _is_vector(headers[name].shape) for name in names):
            for name in names:
                tally.add("arrays without one value per sample", f"{name}: {headers[name]}")
            continue
        for of_split, name in zip(by_split.values(), names, strict=True):
            num_samples = headers[of_split["images"]].shape[0]
            if headers[name].shape[0] != num_samples:
                raise ValueError(
                    f"column {name!r} must contain {num_samples:,} values, one for each sample, "
                    f"got {headers[name].shape[0]:,}."
                )
        dtypes = [headers[name].dtype for name in names]
        for name, dtype in zip(names, dtypes, strict=True):
            if dtype.kind not in _COLUMN_KINDS:
                raise ValueError(
                    f"column {name!r} must contain numbers, truth values or text, got {dtype}. Save it as text "
                    f"with {name}.astype(str)."
                )
        is_exact = np.result_type(*dtypes).kind != "f" or any(dtype.kind == "f" for dtype in dtypes)
        if len({_COLUMN_KINDS[dtype.kind] for dtype in dtypes}) > 1 or not is_exact:
            raise ValueError(
                f"column {column!r} must have the same type in all splits, got {', '.join(map(str, dtypes))}."
            )
        columns.append(column)
    return tuple(columns)


def _is_vector(shape: tuple[int, ...]) -> bool:
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)


def _read_images(
    files: ArrayFiles, names: Sequence[str], pixel_range: tuple[float, float] | None
) -> tuple[npt.NDArray[np.uint8], int]:
    """Return all images, of shape (N, C, H, W), and the number of images with values outside ``pixel_range``."""
    if len(names) == 1 and files.headers[names[0]].dtype == np.uint8:
        return _channels_first(files.read(names[0])), 0
    shapes = [files.headers[name].shape for name in names]
    images_NCHW = np.empty((sum(shape[0] for shape in shapes), *_image_shape(names[0], shapes[0])), np.uint8)
    start = num_clipped = 0
    for name in names:
        split_NCHW = _channels_first(files.read(name))
        part_NCHW = images_NCHW[start : start + len(split_NCHW)]
        start += len(split_NCHW)
        if split_NCHW.dtype == np.uint8:
            part_NCHW[:] = split_NCHW
        else:
            assert pixel_range is not None
            num_clipped += _scale(name, split_NCHW, part_NCHW, pixel_range)
    return images_NCHW, num_clipped


def _scale(
    name: str, values_NCHW: np.ndarray, images_NCHW: npt.NDArray[np.uint8], pixel_range: tuple[float, float]
) -> int:
    """Scale the values into ``images_NCHW``, and return the number of images with values outside the range."""
    low, high = pixel_range
    num_clipped = 0
    # Images are scaled in blocks, because all of them as float64 would take eight times the memory of the result.
    step = max(1, _BLOCK_VALUES // max(1, values_NCHW[0].size))
    for start in range(0, len(values_NCHW), step):
        block = values_NCHW[start : start + step].astype(np.float64)
        is_finite = np.isfinite(block).all(axis=(1, 2, 3))
        if not is_finite.all():
            raise ValueError(
                f"{name} must contain finite numbers, got NaN or infinity in sample {start + int(is_finite.argmin())}."
            )
        images_NCHW[start : start + step] = scale_to_uint8(block, low, high)
        num_clipped += int(((block < low) | (block > high)).any(axis=(1, 2, 3)).sum())
    return num_clipped


def _channels_first(images: np.ndarray) -> np.ndarray:
    if images.ndim == 3:
        return images[:, None]
    return images if images.shape[1] in _NUM_CHANNELS else images.transpose(0, 3, 1, 2)


def _image_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of images in the layout NHW, NCHW or NHWC."""
    if len(shape) == 3 and all(shape):
        return 1, shape[1], shape[2]
    is_first = len(shape) == 4 and shape[1] in _NUM_CHANNELS
    is_last = len(shape) == 4 and shape[3] in _NUM_CHANNELS
    if is_first == is_last or not all(shape):
        raise ValueError(
            f"{name} must have the shape NHW, or NCHW or NHWC with C = 1 or 3 in only one of the two positions, "
            f"got shape {shape}." + (" Volumes are not supported; save slices as images." if _is_volume(shape) else "")
        )
    return (shape[1], shape[2], shape[3]) if is_first else (shape[3], shape[1], shape[2])


def _is_volume(shape: tuple[int, ...]) -> bool:
    return len(shape) == 5 or (len(shape) == 4 and min(shape[1:]) > 4)
