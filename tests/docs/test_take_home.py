"""The example of plain PyTorch runs as it is shown, in a process that cannot import peerkd."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.stages.in_process import run_in_process
from tests.docs.pages import blocks

SMALL = "partition.num_peers=2 data.max_train_samples=300 pretrain.epochs=2 distill.epochs=2 sweep.temperatures=[1] "
SMALL += "sweep.alphas=[0.5] sweep.transfer_sets=[both] compute.device=cpu"

WITHOUT_PEERKD = """
import importlib.util
assert importlib.util.find_spec("peerkd.training") is None
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store of a finished run."""
    root = tmp_path_factory.mktemp("home")
    run_in_process(resolve(JOINTKD, preset="digits", overrides=SMALL), str(root / "runs"))
    return root


@pytest.mark.parametrize("student", [0, 1])
def test_the_example_measures_the_accuracy_of_the_card(folder: Path, student: int) -> None:
    (example,) = (block.body for block in blocks() if block.page == "docs/take-home.md" and block.language == "python")
    # The option -S skips the file in site-packages that leads to this package.
    process = subprocess.run(
        [sys.executable, "-S", "-c", WITHOUT_PEERKD + example.replace("student-000", f"student-{student:03d}")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    measured, promised = map(float, process.stdout.split())
    assert measured == promised > 0
