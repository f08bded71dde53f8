"""Whole experiments in one process on the data of users: image folders, packed and streamed, and npz files."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.pipelines.experiments import TINY, trials

SETTINGS = [setting for setting in TINY if not setting.startswith("data.")] + ["pretrain.epochs=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the first 600 digits as PNG files, for training and test."""
    root = tmp_path_factory.mktemp("images")
    digits = load_digits()
    for index in range(600):
        place = root / ("train" if index < 450 else "test") / f"digit-{digits.target[index]}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[index] * 15).astype(np.uint8)).save(place / f"{index:04}.png")
    return root


@pytest.mark.parametrize(
    "storage", [["data.storage=packed"], ["data.storage=streamed", "data.image_size_pixels=12"]], ids=lambda s: s[0]
)
def test_an_image_folder_is_used_packed_and_streamed(folder, run_here, tmp_path, capsys, storage):
    assert run_here(tmp_path / "runs", [*SETTINGS, "data.source=image_folder", f"data.path={folder}", *storage]) == 0
    table = trials(tmp_path / "runs")
    assert set(table["num_transfer_samples"].to_pylist()) <= set(range(100, 300))
    assert "reported on 150 test samples" in capsys.readouterr().out


def test_a_file_of_arrays_can_be_divided_by_writer(run_here, tmp_path):
    digits = load_digits()
    path = tmp_path / "digits.npz"
    writers = np.arange(len(digits.target)) // 60
    np.savez(path, images=(digits.images * 15).astype(np.uint8), labels=digits.target, writer=writers)
    overrides = [
        *SETTINGS,
        "data.source=npz",
        f"data.path={path}",
        "partition.label_skew.kind=natural",
        "partition.label_skew.column=writer",
        "partition.own_evaluation=held_out",
        "partition.public_fraction=0.1",
        "sweep.transfer_sets=[student,public,public_unlabelled]",
    ]
    assert run_here(tmp_path / "runs", overrides) == 0
    assert set(trials(tmp_path / "runs")["transfer_set"].to_pylist()) == {"student", "public", "public_unlabelled"}
