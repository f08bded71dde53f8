from pathlib import Path

import numpy as np
import pytest

from peerkd.config.experiment import ExperimentConfig
from peerkd.data.sources import read_source
from peerkd.errors import DataSourceError
from peerkd.stages.dataset import read_dataset


def write(path: Path, values: np.ndarray) -> None:
    header = bytes((0, 0, 8, values.ndim)) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, num in (("train", 30), ("t10k", 12)):
        write(tmp_path / f"{split}-images-idx3-ubyte", np.arange(num * 20).reshape(num, 4, 5) % 256)
        write(tmp_path / f"{split}-labels-idx1-ubyte", np.arange(num) % 3)
    return tmp_path


def test_images_and_labels_are_those_of_the_files(folder: Path) -> None:
    raw = read_source("example_idx", path=str(folder))
    assert (raw.num_train, raw.images_NCHW.shape, raw.class_names) == (30, (42, 1, 4, 5), ("0", "1", "2"))
    assert raw.images_NCHW[1, 0, 0].tolist() == [20, 21, 22, 23, 24]
    assert raw.labels_N.tolist() == [*(n % 3 for n in range(30)), *(n % 3 for n in range(12))]


def test_a_config_names_it(folder: Path) -> None:
    config = ExperimentConfig.model_validate({"data": {"source": "example_idx", "path": str(folder)}})
    assert read_dataset("test", config.data, seed=0).num_train == 30


def test_a_file_that_was_cut_off_is_refused(folder: Path) -> None:
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataSourceError, match=r"^data.path: .*t10k-images-idx3-ubyte must be an IDX file"):
        read_source("example_idx", path=str(folder))


def test_labels_that_are_missing_are_counted(folder: Path) -> None:
    write(folder / "train-labels-idx1-ubyte", np.zeros(29))
    with pytest.raises(DataSourceError, match=r"the train split must have a label for each of its 30 images, got 29"):
        read_source("example_idx", path=str(folder))
