"""Whole experiments that take seconds, with the command that a person would type."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from peerkd.artifacts.open import open_store
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.metrics.progress import LINE_PREFIX
from peerkd.results.table import read_table
from tests.forked import ForkedCommand

TINY = (
    "partition.num_peers=3",
    "data.max_train_samples=450",
    "data.max_test_samples=150",
    "pretrain.epochs=3",
    "distill.epochs=1",
    "sweep.temperatures=[1,4]",
    "sweep.alphas=[0.5,0.9]",
    "peers.architectures=[mlp]",
)
"""Number of distillations: 6 ordered pairs of 3 peers, 3 transfer sets, 4 settings."""

NUM_TINY_TRIALS = 6 * 3 * 4 + 3 + 6 + 6
"""Number of trials with controls: one per student on its own set, two per pair on the teacher's set and on both."""


IMPATIENT = "tests.pipelines.impatient_worker"
"""The module that makes a worker impatient, and as slow as ``SLOWLY`` says."""

SLOWLY = {"SECONDS_PER_RECORD": "0.05"}
"""The variable of a process whose experiment must last long enough to be disturbed."""


TINY_STUDY = (
    "methods=[plain,pcl]",
    "num_seeds=2",
    "training.epochs=3",
    "training.batch_size=128",
    "collaboration.rampup_epochs=2",
    "compute.checkpoint_steps=2",
)
"""A study of the pipeline pcl: 4 runs of 3 epochs of 4 steps."""


def publish_inputs(finished: Path, store: ArtifactStore) -> Manifest:
    """Copy the artifacts before the trainings from the store of a finished run, and return the one with the peers."""
    done = open_store(str(finished))
    for noun in ("dataset", "partition_data", "pretrain_peers"):
        (folder,) = (path.parent for path in finished.glob(f"{noun}/*/manifest.json"))
        manifest = done.find(f"{noun}/{folder.name}")
        with store.open_workspace(manifest.key) as workspace:
            for name in manifest.files:
                (workspace.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, workspace.folder / name)
            published = store.publish(manifest.key, metadata=manifest.metadata)
    return published


def command(output: Path, overrides: Sequence[str] = TINY, *, pipeline: str = "jointkd") -> list[str]:
    """Return the command as a list of words."""
    settings = [word for pair in overrides for word in ("--set", pair)]
    return [sys.executable, "-m", "peerkd", "run", pipeline, "--output", str(output), *settings]


def run(
    output: Path, overrides: Sequence[str] = TINY, *, pipeline: str = "jointkd"
) -> subprocess.CompletedProcess[str]:
    """Run an experiment until it succeeds or fails."""
    return subprocess.run(
        command(output, overrides, pipeline=pipeline), capture_output=True, text=True, timeout=900, check=False
    )


def run_here_and_kill(
    output: Path, overrides: Sequence[str] = TINY, *, at: Callable[[], bool], pipeline: str = "jointkd"
) -> None:
    """Start an experiment in one process, which is forked and slow, and kill it when ``at`` is true."""
    _, _, _, *words = command(output, overrides, pipeline=pipeline)
    environment = {**os.environ, **SLOWLY}
    with ForkedCommand([*words, "--workers", "0"], environment=environment, preparation=IMPATIENT) as process:
        while not at():
            assert process.poll() is None, "the run ended before the moment came"
            time.sleep(0.002)
        process.kill()


def run_and_kill(
    output: Path, overrides: Sequence[str] = TINY, *, at: Callable[[], bool], pipeline: str = "jointkd"
) -> None:
    """Start an experiment, kill the command when ``at`` is true, and wait until all its processes have ended."""
    with subprocess.Popen(
        command(output, overrides, pipeline=pipeline), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while not at():
            assert process.poll() is None, "the run ended before the moment came"
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while str(output) in (left := _processes()):
        assert time.monotonic() < deadline, f"a killed run left processes behind:\n{left}"
        time.sleep(0.1)


def trials(output: Path) -> pa.Table:
    """Return the only table of trials in a store."""
    (path,) = output.glob("distill_pairs/*/trials.parquet")
    return read_table(path)


def times_of_artifacts(output: Path) -> dict[Path, int]:
    """Return the time of each file of the store. The files of invocations are not part of an artifact."""
    paths = [path for path in output.glob("*/**/*") if path.is_file() and "invocations" not in path.parts]
    return {path: path.stat().st_mtime_ns for path in paths}


def stages_already_done(said: str) -> list[str]:
    """Return the stages that a command reports as finished by an earlier one, in their order."""
    lines = [line.removeprefix(f"{LINE_PREFIX} ") for line in said.splitlines()]
    return [line.split(":")[0] for line in lines if ": already done" in line]


def num_lines(output: Path, stage: str) -> int:
    """Return the number of records in the journals of an unfinished stage, or 0 if no such stage exists."""
    return sum(path.read_bytes().count(b"\n") for path in output.glob(f"{stage}/*.partial/scratch/journals/*/*"))


def _processes() -> str:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def wait_for(condition, *, interval_seconds=0.05):
    deadline = time.monotonic() + 900
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(interval_seconds)
