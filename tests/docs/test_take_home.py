"""The examples of plain PyTorch run as they are shown, in a process that cannot import peerkd."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.stages.export_student import ExportRequest, export_student
from peerkd.stages.in_process import run_in_process
from peerkd.training.export_formats import FORMATS
from tests.docs.pages import ROOT, blocks

SMALL = "partition.num_peers=2 data.max_train_samples=300 pretrain.epochs=2 distill.epochs=2 sweep.temperatures=[1] "
SMALL += "sweep.alphas=[0.5] sweep.transfer_sets=[both] compute.device=cpu"

WITHOUT_PEERKD = """
import importlib.util
assert importlib.util.find_spec("peerkd.training") is None
"""
NOTEBOOK = ROOT / "docs" / "notebooks" / "take_home.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store of a finished run, and both students in all formats."""
    root = tmp_path_factory.mktemp("home")
    run_in_process(resolve(JOINTKD, preset="digits", overrides=SMALL), str(root / "runs"))
    for student in (0, 1):
        for name, each in FORMATS.items():
            file = root / f"student-{student:03d}{each.suffix}"
            list(export_student(str(root / "runs"), ExportRequest(student=student, format_name=name, file=file)))
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


def test_the_examples_measure_the_accuracy_of_the_card_in_every_format(folder: Path) -> None:
    examples = [block.body for block in blocks() if block.page == "docs/take-home.md" and block.language == "python"]
    code = "\n".join(examples)
    # One process serves both students, because its imports take longest.
    lines = run_without_peerkd(code + "\n" + code.replace("student-000", "student-001"), folder).splitlines()
    assert len(lines) == 2 * len(FORMATS)
    for line in lines:
        measured, promised = map(float, line.split())
        assert measured == promised > 0


def test_the_notebook_runs_from_its_first_cell_to_its_last(folder: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert run_without_peerkd(code, folder).startswith(("distil ", "fine_tune ", "leave "))


def test_the_notebook_has_no_output() -> None:
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        assert cell.get("outputs", []) == []
