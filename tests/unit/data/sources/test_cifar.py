"""The files of these tests are written opcode by opcode, as Python 2 wrote the published files."""

import dataclasses
import hashlib
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peerkd.data.sources.cifar import CIFAR10, CIFAR100, CifarRelease, PublishedFile, read_cifar
from peerkd.errors import DataSourceError


def python2_pickle(fields: dict[str, Any]) -> bytes:
    def dump(value: Any) -> bytes:
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value)
        if isinstance(value, str):
            value = value.encode("latin1")
        if isinstance(value, bytes):
            return b"T" + struct.pack("<i", len(value)) + value
        if isinstance(value, list):
            return b"](" + b"".join(map(dump, value)) + b"e"
        num_rows, num_columns = value.shape
        dtype = (
            b"cnumpy\ndtype\n" + dump("u1") + b"K\x00K\x01\x87R(K\x03" + dump("|") + b"NNN" + 2 * dump(-1) + b"K\x00tb"
        )
        return b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R" + (
            b"(K\x01" + dump(num_rows) + dump(num_columns) + b"\x86" + dtype + b"\x89" + dump(value.tobytes()) + b"tb"
        )

    return b"\x80\x02}(" + b"".join(dump(name) + dump(value) for name, value in fields.items()) + b"u."


@dataclasses.dataclass(frozen=True)
class Written:
    folder: Path
    release: CifarRelease
    pixels: np.ndarray
    labels: np.ndarray


def publish(folder: Path, release: CifarRelease, contents: dict[str, bytes]) -> CifarRelease:
    """Write the files and return a release that expects exactly these files."""
    folder.mkdir(parents=True)

    def publish_file(file: PublishedFile) -> PublishedFile:
        content = contents[file.name]
        (folder / file.name).write_bytes(content)
        return PublishedFile(name=file.name, num_bytes=len(content), md5=hashlib.md5(content).hexdigest())

    return dataclasses.replace(
        release,
        train_files=tuple(publish_file(file) for file in release.train_files),
        test_file=publish_file(release.test_file),
        meta_file=publish_file(release.meta_file),
    )


def write_cifar(root: Path, release: CifarRelease, *, num_classes: int) -> Written:
    rng = np.random.default_rng(0)
    contents, pixels, labels = {}, [], []
    for file in (*release.train_files, release.test_file):
        pixels.append(rng.integers(256, size=(4, 3072), dtype=np.uint8))
        labels.append(rng.integers(num_classes, size=4))
        fields = {"data": pixels[-1], release.label_field: labels[-1].tolist(), "batch_label": "made up"}
        for column_field in release.column_fields.values():
            fields[column_field] = (labels[-1] // 5).tolist()
        contents[file.name] = python2_pickle(fields)
    class_names = [f"class {k}" for k in range(num_classes)]
    contents[release.meta_file.name] = python2_pickle({release.class_names_field: class_names})
    published = publish(root / release.folder, release, contents)
    return Written(root / release.folder, published, np.concatenate(pixels), np.concatenate(labels))


@pytest.fixture
def cifar10(tmp_path: Path) -> Written:
    return write_cifar(tmp_path, CIFAR10, num_classes=10)


@pytest.fixture
def cifar100(tmp_path: Path) -> Written:
    return write_cifar(tmp_path, CIFAR100, num_classes=100)


def write_archive(written: Written, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(written.folder, arcname=written.release.folder)
    return path


def test_the_table_of_files_equals_that_of_torchvision() -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    for release, published in ((CIFAR10, datasets.CIFAR10), (CIFAR100, datasets.CIFAR100)):
        assert release.folder == published.base_folder
        assert [[file.name, file.md5] for file in release.train_files] == published.train_list
        assert [[release.test_file.name, release.test_file.md5]] == published.test_list
        assert (release.meta_file.name, release.meta_file.md5) == (published.meta["filename"], published.meta["md5"])
        assert release.class_names_field == published.meta["key"]


def test_cifar10_has_its_training_batches_in_order_and_then_its_test_batch(cifar10: Written) -> None:
    raw = read_cifar(cifar10.folder, cifar10.release)
    np.testing.assert_array_equal(raw.images_NCHW, cifar10.pixels.reshape(24, 3, 32, 32))
    np.testing.assert_array_equal(raw.labels_N, cifar10.labels)
    assert raw.num_train == 20
    assert raw.class_names[:2] == ("class 0", "class 1")
    assert raw.columns == {}
    assert raw.name == "cifar10"


def test_cifar100_has_fine_labels_and_its_coarse_labels_as_a_column(cifar100: Written) -> None:
    raw = read_cifar(cifar100.folder, cifar100.release)
    assert raw.images_NCHW.shape == (8, 3, 32, 32)
    assert raw.num_train == 4
    np.testing.assert_array_equal(raw.labels_N, cifar100.labels)
    np.testing.assert_array_equal(raw.columns["coarse_label"], cifar100.labels // 5)
    assert len(raw.class_names) == 100


@pytest.mark.parametrize("locate", [lambda w, tmp: w.folder.parent, lambda w, tmp: write_archive(w, tmp / "c.tar.gz")])
def test_the_parent_folder_and_the_archive_read_the_same(
    cifar10: Written, tmp_path: Path, locate: Callable[[Written, Path], Path]
) -> None:
    expected = read_cifar(cifar10.folder, cifar10.release)
    actual = read_cifar(locate(cifar10, tmp_path), cifar10.release)
    np.testing.assert_array_equal(actual.images_NCHW, expected.images_NCHW)
    np.testing.assert_array_equal(actual.labels_N, expected.labels_N)


def test_a_missing_path_or_file_is_named(cifar10: Written, tmp_path: Path) -> None:
    with pytest.raises(DataSourceError, match=r"data\.path: .*nowhere/data_batch_1 cannot be read \(No such file"):
        read_cifar(tmp_path / "nowhere", cifar10.release)
    with pytest.raises(DataSourceError, match=r"python version; check the path, which begins at /.*\.$"):
        read_cifar(Path("nowhere"), cifar10.release)
    (cifar10.folder / "data_batch_3").unlink()
    with pytest.raises(DataSourceError, match=r"cifar-10-batches-py/data_batch_3 cannot be read \(No such file"):
        read_cifar(tmp_path, cifar10.release)


def test_a_truncated_file_is_named_with_both_sizes(tmp_path: Path) -> None:
    write_cifar(tmp_path, CIFAR10, num_classes=10)
    (tmp_path / CIFAR10.folder / "data_batch_1").write_bytes(bytes(1024))
    message = r"data\.path: .*/data_batch_1 has 1,024 bytes, expected 31,035,704\."
    with pytest.raises(DataSourceError, match=message):
        read_cifar(tmp_path, CIFAR10)


def test_a_file_of_the_right_size_with_other_content_is_refused(cifar10: Written) -> None:
    path = cifar10.folder / "test_batch"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DataSourceError, match=r"test_batch has MD5 .*, expected the published"):
        read_cifar(cifar10.folder, cifar10.release)


def test_a_truncated_archive_is_refused(cifar10: Written, tmp_path: Path) -> None:
    path = write_archive(cifar10, tmp_path / "c.tar.gz")
    content = path.read_bytes()
    for num_bytes in (0, 100, len(content) // 2):
        path.write_bytes(content[:num_bytes])
        with pytest.raises(DataSourceError, match=r"c\.tar\.gz cannot be read as a \.tar\.gz archive"):
            read_cifar(path, cifar10.release)


def test_an_archive_of_something_else_is_refused(cifar10: Written, cifar100: Written, tmp_path: Path) -> None:
    path = write_archive(cifar100, tmp_path / "c.tar.gz")
    with pytest.raises(DataSourceError, match=r"c\.tar\.gz does not contain cifar-10-batches-py/data_batch_1, "):
        read_cifar(path, cifar10.release)


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    contents = {file.name: pickle.dumps(Malicious(tmp_path / "ran"), protocol) for file in CIFAR100.train_files}
    contents |= dict.fromkeys((CIFAR100.test_file.name, CIFAR100.meta_file.name), python2_pickle({}))
    release = publish(tmp_path / CIFAR100.folder, CIFAR100, contents)
    with pytest.raises(DataSourceError, match=r"train is not a CIFAR batch: it requests (posix|nt)\.mkdir"):
        read_cifar(tmp_path, release)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a pickle", "train is not a CIFAR batch"),
        (python2_pickle({"data": np.zeros((2, 3072), np.uint8)})[:-40], "train is not a CIFAR batch"),
        (pickle.dumps([1]), "train must contain a dictionary, got list"),
        (python2_pickle({"fine_labels": [0]}), "does not contain the fields of cifar100: 'data'"),
        (python2_pickle({"data": np.zeros((2, 3071), np.uint8)}), "does not contain the fields of cifar100"),
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    good = python2_pickle({"data": np.zeros((1, 3072), np.uint8), "fine_labels": [0], "coarse_labels": [0]})
    contents = {"train": content, "test": good, "meta": python2_pickle({"fine_label_names": ["cat"]})}
    release = publish(tmp_path / CIFAR100.folder, CIFAR100, contents)
    with pytest.raises(DataSourceError, match=message):
        read_cifar(tmp_path, release)


def test_arrays_pickled_by_python_3_are_read_too(tmp_path: Path) -> None:
    batch = {"data": np.full((1, 3072), 200, np.uint8), "fine_labels": [0], "coarse_labels": [0]}
    contents = dict.fromkeys(("train", "test"), pickle.dumps(batch, protocol=2))
    contents["meta"] = pickle.dumps({"fine_label_names": ["cat"]}, protocol=2)
    raw = read_cifar(tmp_path, publish(tmp_path / CIFAR100.folder, CIFAR100, contents))
    assert (raw.images_NCHW == 200).all()


def test_a_link_in_an_archive_is_refused(cifar10: Written, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for file in sorted(cifar10.folder.iterdir()):
            if file.name != "test_batch":
                archive.add(file, f"{cifar10.release.folder}/{file.name}")
        link = tarfile.TarInfo(f"{cifar10.release.folder}/test_batch")
        link.type, link.linkname = tarfile.SYMTYPE, "nowhere"
        archive.addfile(link)
    with pytest.raises(DataSourceError, match=r"test_batch must be a file, but is a link or a folder in its archive"):
        read_cifar(tmp_path / "a.tar.gz", cifar10.release)


def test_an_archive_packed_from_within_its_folder_is_read(cifar10: Written, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(cifar10.folder, f"./{cifar10.release.folder}")
    assert len(read_cifar(tmp_path / "a.tar.gz", cifar10.release).labels_N) == len(cifar10.labels)


def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(cifar10: Written) -> None:
    (cifar10.folder / "data_batch_2").unlink()
    os.mkfifo(cifar10.folder / "data_batch_2")
    with pytest.raises(DataSourceError, match=r"data_batch_2 must be a file, but is a named pipe"):
        read_cifar(cifar10.folder, cifar10.release)


def test_links_to_the_files_are_followed(cifar10: Written, tmp_path: Path) -> None:
    (tmp_path / "view").mkdir()
    for file in cifar10.folder.iterdir():
        (tmp_path / "view" / file.name).symlink_to(file)
    assert len(read_cifar(tmp_path / "view", cifar10.release).labels_N) == len(cifar10.labels)


@pytest.mark.parametrize("name", ["cifar-10-batches-bin/data_batch_1.bin", "data_batch_1.mat"])
def test_another_published_version_is_recognized(tmp_path: Path, name: str) -> None:
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    with pytest.raises(DataSourceError, match="these are the files of the binary or the Matlab version"):
        read_cifar(tmp_path / "data", CIFAR10)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(path, name)
    with pytest.raises(DataSourceError, match="these are the files of the binary or the Matlab version"):
        read_cifar(tmp_path / "a.tar.gz", CIFAR10)
