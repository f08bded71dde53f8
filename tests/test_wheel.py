"""The wheel without extras, in an environment of its own: what works, and what names the extra that it needs.

The test installs packages from the index, so it runs only if ``make wheel-check`` asks for it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from peerkd.version import __version__

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    "PEERKD_WHEEL" not in os.environ, reason="it installs the wheel from the package index; run make wheel-check"
)

NPZ = "--set data.source=npz --set data.path=letters.npz"
LOCAL = ", or peerkd[local] for everything that a run on this machine needs"
KFP = "This command needs the package kfp, which is not installed here; install peerkd[pipeline]"
MISSING = {
    "plan jointkd": "data.source digits needs scikit-learn, which is not installed here; install peerkd[data].",
    "plan jointkd --set data.source=image_folder --set data.path=.": "Reading images needs Pillow, which is not "
    "installed here; install peerkd[data].",
    f"plan jointkd --measure {NPZ}": "measure must be false if torch is not installed, got true.",
    f"run jointkd {NPZ}": f"{KFP}{LOCAL}.",
    f"run pcl {NPZ}": f"{KFP}{LOCAL}.",
    "open": f"This command needs the package jinja2, which is not installed here; install peerkd[report]{LOCAL}.",
    "doctor --namespace x": "This command needs the package urllib3, which is not installed here; install "
    "peerkd[cluster].",
    "submit jointkd.yaml": "This command needs the package urllib3, which is not installed here; install "
    "peerkd[cluster].",
    "reap": "This command needs the package urllib3, which is not installed here; install peerkd[cluster].",
    "runs --store s3://bucket/runs": "This command needs the package minio, which is not installed here; install "
    "peerkd[s3].",
    f"plan jointkd {NPZ} --set compute.tracking=[mlflow]": "compute.tracking: mlflow needs the package mlflow, which "
    "this environment lacks; install the extra with pip install 'peerkd[mlflow]'.",
}
"""What is said by commands that need an extra."""

WORKING = (
    "--version",
    "--help",
    "config presets",
    "init mine --for own-loss",
    "config show",
    "config schema",
    f"plan jointkd {NPZ}",
    f"plan jointkd --strategy tune {NPZ}",
    f"plan pcl {NPZ} --preset digits",
    f"plan collaborate {NPZ}",
    "runs",
    "store clear --store runs",
)


def run(*command: str | Path, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def peerkd(tmp_path_factory):
    """Return a function that calls the command of the installed wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    uv = [sys.executable, "-m", "uv"]
    made = run(*uv, "venv", "--quiet", "--python", sys.executable, folder / "venv")
    assert made.returncode == 0, made.stderr
    installed = run(*uv, "pip", "install", "--quiet", "--python", folder / "venv" / "bin" / "python", wheel)
    if installed.returncode:
        pytest.skip(f"the dependencies of the wheel cannot be installed: {installed.stderr.strip()[-300:]}")
    images = np.random.default_rng(0).integers(0, 256, (400, 8, 8), dtype=np.uint8)
    np.savez(folder / "letters.npz", train_images=images, train_labels=np.arange(400) % 4)
    (folder / "runs").mkdir()
    # Nothing of the environment of the tests may help, such as a path to the source.
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x"),
        "PEERKD_S3_ENDPOINT": "http://localhost:1",
    }

    def call(arguments: str):
        command = folder / "venv" / "bin" / "peerkd"
        return run(command, *arguments.split(), cwd=folder, env=environment, timeout=120)

    return call


@pytest.mark.parametrize("arguments", WORKING)
def test_a_command_works_without_extras(peerkd, arguments):
    ended = peerkd(arguments)
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended.stderr
    if arguments == "--version":
        assert ended.stdout == f"peerkd {__version__}\n"
    if arguments == "config schema":
        assert json.loads(ended.stdout)["title"]


@pytest.mark.parametrize("arguments", MISSING)
def test_a_command_that_needs_an_extra_names_it_in_a_sentence(peerkd, arguments):
    ended = peerkd(arguments)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"peerkd: {MISSING[arguments]}\n")
