"""The examples of plain PyTorch run as they are shown, in a process that cannot import peerkd."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.data.sources.decoding import decode_file
from peerkd.data.sources.pixel_rules import PixelRules
from peerkd.stages.export_student import ExportRequest, export_student
from peerkd.stages.in_process import run_in_process
from peerkd.training.export_formats import FORMATS
from tests.conftest import IS_SLOW
from tests.docs.pages import ROOT, blocks

SMALL = "partition.num_peers=2 data.max_train_samples=300 pretrain.epochs=2 distill.epochs=2 sweep.temperatures=[1] "
SMALL += "sweep.alphas=[0.5] sweep.transfer_sets=[both] compute.device=cpu"

WITHOUT_PEERKD = """
import importlib.util
assert importlib.util.find_spec("peerkd.training") is None
"""
STUDENTS = (0, 1) if IS_SLOW else (0,)
NOTEBOOK = ROOT / "docs" / "notebooks" / "take_home.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store of a finished run, and its students in all formats."""
    root = tmp_path_factory.mktemp("home")
    run_in_process(resolve(JOINTKD, preset="digits", overrides=SMALL), str(root / "runs"))
    for student in STUDENTS:
        for each in FORMATS.values():
            file = root / f"student-{student:03d}{each.suffix}"
            list(export_student(str(root / "runs"), ExportRequest(student=student, file=file)))
    return root


def run_without_peerkd(code: str, folder: Path) -> str:
    # The option -S skips the file in site-packages that leads to this package.
    process = subprocess.run(
        [sys.executable, "-S", "-W", "ignore", "-c", WITHOUT_PEERKD + code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def examples() -> list[str]:
    return [block.body for block in blocks() if block.page == "docs/take-home.md" and block.language == "python"]


def test_the_examples_measure_the_accuracy_of_the_card_in_every_format(folder: Path) -> None:
    Image.new("L", (20, 30), 90).save(folder / "photo.jpg")
    code = "\n".join(examples())
    # One process serves all students, because its imports take longest.
    of_students = [code.replace("student-000", f"student-{student:03d}") for student in STUDENTS]
    lines = run_without_peerkd("\n".join(of_students), folder).splitlines()
    assert len(lines) == len(STUDENTS) * (1 + len(FORMATS))
    for first in range(0, len(lines), 1 + len(FORMATS)):
        name, probability = lines[first].split()
        assert name in "0123456789"
        assert 0.1 <= float(probability) <= 1
        for line in lines[first + 1 : first + 1 + len(FORMATS)]:
            measured, promised = map(float, line.split())
            assert measured == promised > 0


def test_the_example_reads_a_photo_as_peerkd_does(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(40, 64, 3), dtype=np.uint8)
    exif = Image.Exif()
    # The camera was turned by 90 degrees.
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 3)).eval()
    card = {
        "image_shape": [3, 16, 16],
        "channel_mean": [0.5, 0.4, 0.3],
        "channel_std": [0.2, 0.1, 0.3],
        "class_names": ["mole", "naevus", "wart"],
    }
    program = torch.export.export(network, (torch.zeros(1, 3, 16, 16),))
    torch.export.save(program, tmp_path / "student-000.pt2", extra_files={"card.json": json.dumps(card)})
    (example,) = (each for each in examples() if "photo.jpg" in each)
    name, probability = run_without_peerkd(example, tmp_path).split()

    read = np.asarray(decode_file(tmp_path / "photo.jpg", PixelRules(16)).image)
    normal = (read / 255 - card["channel_mean"]) / card["channel_std"]
    with torch.inference_mode():
        expected = network(torch.tensor(normal, dtype=torch.float32).permute(2, 0, 1)[None]).softmax(dim=1)[0]
    best = int(expected.argmax())
    assert (name, float(probability)) == (card["class_names"][best], pytest.approx(expected[best].item(), abs=1e-4))


def test_the_notebook_runs_from_its_first_cell_to_its_last(folder: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert run_without_peerkd(code, folder).startswith(("distil ", "fine_tune ", "leave "))


def test_the_notebook_has_no_output() -> None:
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        assert cell.get("outputs", []) == []
