"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), read from the files of their published "python version".

The published files are pickles. The MD5 of each file is compared with the published MD5. The files are then read by an
unpickler that can build only numpy arrays and plain values.
"""

import codecs
import hashlib
import io
import pickle
import stat
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peerkd.data.dataset import RawDataset
from peerkd.data.sources.folders import special_kind
from peerkd.errors import DataSourceError
from peerkd.excerpt import start_of

_IMAGE_SHAPE = (3, 32, 32)
_OTHER_VERSIONS = (".bin", ".mat")


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedFile:
    """The name, the size and the MD5 of a file that the authors of a data set published."""

    name: str
    num_bytes: int
    md5: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CifarRelease:
    """The files of CIFAR-10 or CIFAR-100, and the names of the fields in these files."""

    name: str
    folder: str
    train_files: tuple[PublishedFile, ...]
    test_file: PublishedFile
    meta_file: PublishedFile
    label_field: str
    class_names_field: str
    column_fields: Mapping[str, str]
    """The fields that become further columns of the data set, keyed by the name of the column."""


CIFAR10 = CifarRelease(
    name="cifar10",
    folder="cifar-10-batches-py",
    train_files=(
        PublishedFile(name="data_batch_1", num_bytes=31_035_704, md5="c99cafc152244af753f735de768cd75f"),
        PublishedFile(name="data_batch_2", num_bytes=31_035_320, md5="d4bba439e000b95fd0a9bffe97cbabec"),
        PublishedFile(name="data_batch_3", num_bytes=31_035_999, md5="54ebc095f3ab1f0389bbae665268c751"),
        PublishedFile(name="data_batch_4", num_bytes=31_035_696, md5="634d18415352ddfa80567beed471001a"),
        PublishedFile(name="data_batch_5", num_bytes=31_035_623, md5="482c414d41f54cd18b22e5b47cb7c3cb"),
    ),
    test_file=PublishedFile(name="test_batch", num_bytes=31_035_526, md5="40351d587109b95175f43aff81a1287e"),
    meta_file=PublishedFile(name="batches.meta", num_bytes=158, md5="5ff9c542aee3614f3951f8cda6e48888"),
    label_field="labels",
    class_names_field="label_names",
    column_fields={},
)

CIFAR100 = CifarRelease(
    name="cifar100",
    folder="cifar-100-python",
    train_files=(PublishedFile(name="train", num_bytes=155_249_918, md5="16019d7e3df5f24257cddd939b257f8d"),),
    test_file=PublishedFile(name="test", num_bytes=31_049_707, md5="f0ef6b0ae62326f3e7ffdfab6717acfc"),
    meta_file=PublishedFile(name="meta", num_bytes=1_473, md5="7973b15100ade9c7d40fb424638fde48"),
    label_field="fine_labels",
    class_names_field="fine_label_names",
    column_fields={"coarse_label": "coarse_labels"},
)


def read_cifar(path: Path, release: CifarRelease) -> RawDataset:
    """Read ``release`` (``CIFAR10`` or ``CIFAR100``; C = 3, H = W = 32).

    Args:
        path: The folder of the release, a folder that contains it, or the ``.tar.gz`` archive.
        release: The expected files.

    Raises:
        DataSourceError: If a file is missing or is not the published one.
    """
    files = (*release.train_files, release.test_file, release.meta_file)
    contents = _read_archive(path, release.folder, files) if path.is_file() else _read_folder(path, release, files)
    batches = [_unpickle(contents[file.name], path / file.name) for file in files[:-1]]
    meta = _unpickle(contents[release.meta_file.name], path / release.meta_file.name)
    try:
        return RawDataset(
            images_NCHW=np.concatenate([batch["data"] for batch in batches]).reshape(-1, *_IMAGE_SHAPE),
            labels_N=_field(batches, release.label_field),
            num_train=sum(len(batch["data"]) for batch in batches[:-1]),
            class_names=tuple(meta[release.class_names_field]),
            columns={column: _field(batches, field) for column, field in release.column_fields.items()},
            name=release.name,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataSourceError(f"data.path: {path} does not contain the fields of {release.name}: {error}") from error


def _field(batches: list[Mapping[str, Any]], field: str) -> np.ndarray:
    return np.concatenate([np.asarray(batch[field], np.int64) for batch in batches])


def _read_folder(path: Path, release: CifarRelease, files: tuple[PublishedFile, ...]) -> dict[str, bytes]:
    folder = path / release.folder if (path / release.folder).is_dir() else path
    contents = {}
    for file in files:
        file_path = folder / file.name
        try:
            # The size is checked first, so that a truncated download is refused before it is read.
            status = file_path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise DataSourceError(f"data.path: {file_path} must be a file, but is {special_kind(status.st_mode)}.")
            _check_size(file_path, status.st_size, file)
            contents[file.name] = file_path.read_bytes()
        except OSError as error:
            advice = f"; check the path{start_of(path)}" if isinstance(error, FileNotFoundError) else ""
            raise DataSourceError(
                f"data.path: {file_path} cannot be read ({error.strerror}); {release.name} needs it in the folder "
                f"{release.folder} of the published python version{_hint(_is_other_version(path))}"
                f"{advice}."
            ) from error
        _check_md5(file_path, contents[file.name], file)
    return contents


def _read_archive(path: Path, folder: str, files: tuple[PublishedFile, ...]) -> dict[str, bytes]:
    """Read the files from the archive without extracting it to disk."""
    wanted = {f"{folder}/{file.name}": file for file in files}
    contents: dict[str, bytes] = {}
    other_versions: set[str] = set()
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                file = wanted.get(member.name.removeprefix("./"))
                if file is None:
                    other_versions.update(version for version in _OTHER_VERSIONS if member.name.endswith(version))
                    continue
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None:
                    raise DataSourceError(
                        f"data.path: {path / member.name} must be a file, but is a link or a folder in its archive."
                    )
                _check_size(path / member.name, member.size, file)
                contents[file.name] = stream.read()
                _check_md5(path / member.name, contents[file.name], file)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataSourceError(f"data.path: {path} cannot be read as a .tar.gz archive: {error}") from error
    missing = [member for member, file in wanted.items() if file.name not in contents]
    if missing:
        raise DataSourceError(f"data.path: {path} does not contain {', '.join(missing)}{_hint(bool(other_versions))}.")
    return contents


def _hint(is_other_version: bool) -> str:
    return "; these are the files of the binary or the Matlab version" if is_other_version else ""


def _is_other_version(path: Path) -> bool:
    """Return whether a folder or one of its subfolders contains files of the published binary or Matlab version."""
    try:
        return any(file.name.endswith(_OTHER_VERSIONS) for pattern in ("*", "*/*") for file in path.glob(pattern))
    except OSError:
        return False


def _check_size(path: Path, num_bytes: int, file: PublishedFile) -> None:
    if num_bytes != file.num_bytes:
        raise DataSourceError(f"data.path: {path} has {num_bytes:,} bytes, expected {file.num_bytes:,}.")


def _check_md5(path: Path, content: bytes, file: PublishedFile) -> None:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != file.md5:
        raise DataSourceError(f"data.path: {path} has MD5 {md5}, expected the published {file.md5}.")


# ndarray.__reduce__ names numpy's private constructor without importing a private module.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that builds only numbers, strings, containers and numpy arrays.

    It protects against malicious files whose MD5 is forged.
    """

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in _ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"it requests {module_name}.{global_name}, which no array needs")
        return _ALLOWED_GLOBALS[module_name, global_name]


def _unpickle(content: bytes, path: Path) -> Mapping[str, Any]:
    try:
        # latin1, because the files were written by Python 2, whose strings are bytes.
        fields = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise DataSourceError(f"data.path: {path} is not a CIFAR batch: {error}.") from error
    if not isinstance(fields, dict):
        raise DataSourceError(f"data.path: {path} must contain a dictionary, got {type(fields).__name__}.")
    return fields
