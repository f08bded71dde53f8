"""A plan accepts what a run accepts, and refuses the rest in the same words."""

import math
import os
import re
import shlex
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from peerkd.config.launch import LaunchConfig
from peerkd.stages import dataset, partition_data, split_data

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 8, 8), dtype=np.uint8)
LABELS = np.arange(60) % 3


def splits(**changes: Any) -> dict[str, Any]:
    """Return arrays in the format of MedMNIST. An array that is None is omitted."""
    arrays: dict[str, Any] = {}
    for split, part in {"train": slice(0, 36), "val": slice(36, 48), "test": slice(48, 60)}.items():
        arrays |= {f"{split}_images": IMAGES[part], f"{split}_labels": LABELS[part, None]}
    return {name: array for name, array in (arrays | changes).items() if array is not None}


def file_of(**arrays: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.savez(folder / "data.npz", **arrays)
        return folder / "data.npz"

    return write


def damaged_file(folder: Path) -> Path:
    path = file_of(images=IMAGES, labels=LABELS)(folder)
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    return path


def folder_of(*, damage: bool = False, classes: tuple[str, ...] = ("cat", "dog"), num: int = 20) -> Any:
    def write(folder: Path) -> Path:
        for name in classes:
            (folder / "images" / name).mkdir(parents=True)
            for number in range(num):
                Image.fromarray(IMAGES[number]).save(folder / "images" / name / f"{number}.png")
        if damage:
            (folder / "images" / classes[0] / "0.png").write_bytes(b"\x89PNG no more")
        return folder / "images"

    return write


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


NATURAL = "partition.label_skew.kind=natural partition.label_skew.column=site partition.own_evaluation=held_out"
SITES = np.arange(60) // 20
GOOD_FILES: dict[str, Any] = {
    "from one": (file_of(images=IMAGES, labels=LABELS + 1), ""),
    "with gaps": (file_of(images=IMAGES, labels=np.array([0, 7, 10**8])[LABELS]), ""),
    "text": (file_of(images=IMAGES, labels=np.array(["cat", "dog", "fox"])[LABELS]), ""),
    "one-hot": (file_of(images=IMAGES, labels=np.eye(3)[LABELS]), ""),
    "more names": (file_of(images=IMAGES, labels=LABELS, class_names=list("abcde")), ""),
    "MedMNIST": (file_of(**splits()), ""),
    "floats": (file_of(images=IMAGES / 255, labels=LABELS), "data.pixel_range=[0,1]"),
    "a class with one image": (file_of(images=IMAGES, labels=np.where(np.arange(60) == 5, 9, LABELS)), ""),
    "sites": (file_of(images=IMAGES, labels=LABELS, site=SITES), NATURAL),
    "limited": (file_of(**splits()), "data.max_train_samples=30 data.max_test_samples=6"),
    "two images a peer": (file_of(images=IMAGES, labels=LABELS), "partition.num_peers=18"),
}
BAD_FILES: dict[str, Any] = {
    "halves": (file_of(images=IMAGES, labels=LABELS / 2), ""),
    "short": (file_of(images=IMAGES, labels=LABELS[:5]), ""),
    "several labels": (file_of(images=IMAGES, labels=np.ones((60, 3))), ""),
    "objects": (file_of(images=IMAGES, labels=np.array(["a", None])[LABELS % 2]), ""),
    "floats": (file_of(images=IMAGES / 255, labels=LABELS), ""),
    "not finite": (file_of(images=np.where(IMAGES == 3, np.nan, IMAGES), labels=LABELS), "data.pixel_range=[0,1]"),
    "one class": (file_of(images=IMAGES, labels=LABELS * 0), ""),
    "volumes": (file_of(images=np.zeros((9, 9, 9, 9), np.uint8), labels=np.arange(9)), ""),
    "no labels": (file_of(images=IMAGES), ""),
    "a split that lacks labels": (file_of(**splits(val_labels=None)), ""),
    "an empty split": (file_of(**splits(test_images=IMAGES[:0], test_labels=LABELS[:0])), ""),
    "a split of other images": (file_of(**splits(test_images=IMAGES[48:, :7])), ""),
    "names that fit no label": (file_of(images=IMAGES, labels=LABELS + 1, class_names=list("abcde")), ""),
    "a validation split of other classes": (file_of(**splits(val_labels=np.full(12, 9))), ""),
    "damaged": (damaged_file, ""),
    "a pipe": (pipe, ""),
    "missing": (lambda folder: folder / "nothing.npz", ""),
    "missing sites": (file_of(images=IMAGES, labels=LABELS, site=np.where(SITES == 1, np.nan, SITES)), NATURAL),
    "no sites": (file_of(images=IMAGES, labels=LABELS), NATURAL),
    "few sites": (file_of(images=IMAGES, labels=LABELS, site=SITES * 0), NATURAL),
    "too many peers": (file_of(images=IMAGES, labels=LABELS), "partition.num_peers=100"),
    "too many samples a peer": (file_of(images=IMAGES, labels=LABELS), "partition.min_samples_per_peer=40"),
    "too small for the network": (file_of(images=IMAGES[:, :2, :2], labels=LABELS), "peers.architectures=[vgg16]"),
}
FOLDERS: dict[str, Any] = {
    "fine": (folder_of(), "", True),
    "damaged": (folder_of(damage=True), "", False),
    "damaged and skipped": (folder_of(damage=True), "data.skip_damaged=true", True),
    "streamed": (folder_of(), "data.storage=streamed data.image_size_pixels=8", True),
    "damaged and streamed": (folder_of(damage=True), "data.storage=streamed data.image_size_pixels=8", False),
    "one class": (folder_of(classes=("cat",)), "", False),
    "few images": (folder_of(num=1), "", False),
}
CASES = [
    *(pytest.param("npz", *case, True, id=f"npz: {name}") for name, case in GOOD_FILES.items()),
    *(pytest.param("npz", *case, False, id=f"npz: bad: {name}") for name, case in BAD_FILES.items()),
    *(pytest.param("image_folder", *case, id=f"folder: {name}") for name, case in FOLDERS.items()),
]


@pytest.mark.parametrize(("source", "write", "overrides", "is_good"), CASES)
def test_a_plan_and_a_run_give_the_same_verdict_in_the_same_words(
    peerkd,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    source: str,
    write: Callable[[Path], Path],
    overrides: str,
    is_good: bool,
) -> None:
    # A line that tells how far the reading is comes after some seconds, which is earlier on a slower machine.
    monkeypatch.setattr(dataset, "_SECONDS_BETWEEN_LINES", math.inf)
    settings = [
        f"data.source={source}",
        f"data.path={write(tmp_path)}",
        "partition.num_peers=2",
        "partition.min_samples_per_peer=2",
        *overrides.split(),
    ]
    planned = peerkd("plan", "jointkd", "--no-measure", *(word for pair in settings for word in ("--set", pair)))
    with nullcontext() if is_good else pytest.raises(SystemExit, match=r"^2$"):
        partition_data.run(
            preset="digits",
            config_json="",
            overrides=" ".join(settings),
            store=str(tmp_path / "runs"),
            output_path=str(tmp_path / "partition"),
            **LaunchConfig().to_parameters(),
        )
    said = [line.removeprefix("peerkd | partition_data: ") for line in capsys.readouterr().out.splitlines()]
    if not is_good:
        assert (planned.exit_code, planned.out) == (2, "")
        assert said[-1] == planned.err.replace("peerkd: ", "error: ", 1).rstrip()
        assert not (tmp_path / "runs").exists()
    else:
        assert (planned.exit_code, planned.err) == (0, "")
        # A plan begins with the lines of a run about the data, except for the last line of the run.
        assert planned.out.splitlines()[: len(said) - 1] == said[:-1]


def test_a_refused_plan_tells_what_was_skipped(peerkd, tmp_path: Path) -> None:
    images = folder_of(num=2)(tmp_path)
    (images / "cat" / "photo.heic").touch()
    planned = peerkd("plan", "jointkd", "--set", "data.source=image_folder", "--set", f"data.path={images}")
    assert (planned.exit_code, planned.out) == (2, "")
    skipped = "Skipped entries of images: files of other formats: 1 (cat/photo.heic).\n"
    assert planned.err.endswith(f"got 0.2 of 2; add images. {skipped}")
    words = ("plan", "jointkd", "--set", "data.source=image_folder", "--set", f"data.path={images}")
    other = peerkd(*words, "--set", "peers.architectures=[vgg16]")
    assert (other.exit_code, "Skipped entries" in other.err) == (2, False)


BAD_CONFIGS = {
    "jointkd": [
        "sweep.alpha=[1] seed=x",
        "compute.num_workers=0",
        "partition.num_peers=1000",
        "partition.label_skew.kind=classes partition.label_skew.classes_per_peer=11",
        "peers.architectures=[vgg16]",
        "sweep.transfer_sets=[public]",
        "peers.from=pretrain_peers/0123456789abcdef",
    ],
    "collaborate": [
        "rounds.method=[fedavg] rounds.num_rounds=0",
        "rounds.methods=[fedav]",
        "partition.public_fraction=0",
        "partition.num_peers=1000",
        "rounds.topology={kind: edges, edges: [[0, 99]]}",
        "rounds.topology={kind: random, num_partners: 99}",
        "peers.architectures=[vgg16]",
        "rounds.methods=[fedavg] rounds.alpha=0.1",
        "sweep.alphas=[1]",
    ],
    "pcl": [
        "method=[pcl] num_seeds=0",
        "data.test_fraction=0.999",
        "architectures=[vgg16]",
        "training.num_processes=1000",
        "collaboration.branch_point=stage9",
        "partition.num_peers=3",
    ],
}


@pytest.mark.parametrize(
    ("pipeline", "settings"), [(pipeline, each) for pipeline, all_of in BAD_CONFIGS.items() for each in all_of]
)
def test_a_plan_refuses_a_config_in_the_words_of_the_first_task(
    peerkd, capsys: pytest.CaptureFixture[str], tmp_path: Path, pipeline: str, settings: str
) -> None:
    pairs = re.split(r" (?=[a-z_.]+=)", settings)
    (tmp_path / "runs").mkdir()
    options = ["--output", "runs"] if "peers.from" in settings else []
    planned = peerkd("plan", pipeline, *options, *(word for pair in pairs for word in ("--set", pair)))
    arguments = {
        "preset": "",
        "config_json": "",
        "overrides": shlex.join(pairs),
        "store": str(tmp_path / "runs"),
        "output_path": str(tmp_path / "output"),
        **LaunchConfig().to_parameters(),
    }
    with pytest.raises(SystemExit, match=r"^2$"):
        split_data.run(**arguments) if pipeline == "pcl" else partition_data.run(pipeline=pipeline, **arguments)
    _, _, said = capsys.readouterr().out.rpartition("error: ")
    assert (planned.exit_code, planned.out) == (2, "")
    assert planned.err == f"peerkd: {said}"


def test_a_plan_of_a_tuned_study_has_the_checks_of_its_run(peerkd) -> None:
    refused = peerkd("plan", "jointkd", "--strategy", "tune", "--set", "sweep.extend=true")
    assert refused.err.startswith("peerkd: sweep.extend must be false when strategy is tune, ")
    refused = peerkd("plan", "jointkd", "--set", "tune.budget_fraction=0.1")
    assert refused.err.startswith("peerkd: tune.budget_fraction must not be set unless strategy is tune: ")
