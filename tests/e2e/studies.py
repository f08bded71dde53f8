"""Studies for a cluster of two cores, and the command with which a person would run them."""

import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.kind import SETTING
from tests.e2e.kubectl import PATIENCE

NAMESPACE = os.environ.get("PEERKD_E2E_NAMESPACE", "peerkd-e2e")

SHORT = (
    "partition.num_peers=3",
    "pretrain.epochs=2",
    "distill.epochs=1",
    "sweep.temperatures=[2.0]",
    "sweep.alphas=[0.5]",
)
"""About 30 trials, which take seconds."""

LONG = ("partition.num_peers=4", "pretrain.epochs=2", "distill.epochs=4")
"""About 750 trials, which take long enough to be disturbed."""

TUNED = (
    "partition.num_peers=3",
    "pretrain.epochs=2",
    "distill.epochs=2",
    "sweep.temperatures=[1.0,4.0]",
    "sweep.alphas=[0.1,0.9]",
    "tune.budget_fraction=0.3",
)
"""A tuner chooses among about 100 trials, and may run a third of them."""

LONG_TUNED = (*LONG, "tune.budget_fraction=0.3")
"""A tuned study that takes long enough to be disturbed."""

TOGETHER = (
    "methods=[plain, pcl]",
    "num_seeds=1",
    "training.epochs=2",
    "training.num_processes=2",
)
"""A comparison of methods with two runs, each trained by two processes that divide its batches."""

ROUNDS = (
    "data.max_train_samples=450",
    "data.max_test_samples=150",
    "partition.num_peers=3",
    "peers.architectures=[mlp]",
    "pretrain.epochs=2",
    "rounds.methods=[predictions,fedavg,pairwise]",
    "rounds.num_rounds=2",
    "rounds.epochs=1",
)
"""Two rounds of three peers by each of three methods."""


@dataclass(frozen=True)
class Site:
    """An installation of peerkd and its store, whose address works for both pods and this machine."""

    endpoint: str
    access_key: str
    secret_key: str
    control_image: str
    trainer_image: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a launcher on this machine."""
        return {
            **os.environ,
            "PEERKD_S3_ENDPOINT": self.endpoint,
            "PEERKD_S3_ACCESS_KEY": self.access_key,
            "PEERKD_S3_SECRET_KEY": self.secret_key,
            "PEERKD_TRAINER_IMAGE": self.trainer_image,
            "PYTHONUNBUFFERED": "1",
        }


@dataclass
class Study:
    """A run of a pipeline from this machine, with jobs on the cluster."""

    site: Site
    output: Path
    overrides: tuple[str, ...] = SHORT
    workers: int = 2
    settings: tuple[str, ...] = ("cpu_per_worker=500m", "memory_per_worker=1Gi", "shared_memory=128Mi")
    pipeline: str = "jointkd"
    strategy: str = ""
    backend: str = "kubernetes"
    config: Path | None = None
    """The file of the experiment, which ``overrides`` change."""

    environment: dict[str, str] = field(default_factory=dict)
    prefix: str = field(default_factory=lambda: secrets.token_hex(4))
    """A folder of the store, so that no study finds the artifacts of another one."""

    @property
    def store(self) -> str:
        """The address of the store."""
        return f"s3://peerkd/{self.prefix}"

    @property
    def results(self) -> str:
        """The address of the store that the run uses: the folder of its output, if it has no jobs."""
        return self.store if self.backend == "kubernetes" else str(self.output)

    @property
    def command(self) -> list[str]:
        """The command that a person would type."""
        command = [sys.executable, "-m", "peerkd", "run", self.pipeline, "--output", str(self.output)]
        if self.config:
            command += ["--config", str(self.config)]
        for each in self.overrides:
            command += ["--set", each]
        if self.strategy:
            command += ["--strategy", self.strategy]
        if self.backend == "kubernetes":
            settings = " ".join((f"namespace={NAMESPACE}", SETTING, *self.settings))
            command += ["--backend", "kubernetes", "--workers", str(self.workers), "--store", self.store]
            command += ["--cluster", settings]
        return command

    def start(self) -> subprocess.Popen[str]:
        """Start the command as the leader of a process group, with both output streams in one."""
        return subprocess.Popen(
            self.command,
            env={**self.site.environment, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        process = self.start()
        printed, _ = process.communicate(timeout=PATIENCE * seconds)
        return subprocess.CompletedProcess(self.command, process.returncode, printed, "")


def trials_fingerprint(printed: str) -> str:
    """Return the fingerprint of the table of trials from the output of a run."""
    return _fingerprint(printed, told=r"distill_pairs: (?:\[worker \d+\] )?[\d,]+ trials")


def key_of_better_peers(printed: str) -> str:
    """Return the key of the better peers of a study from the output of its run."""
    found = re.search(r"improve_peers/[0-9a-f]{16}", printed)
    assert found, printed
    return found[0]


def choices_fingerprint(printed: str) -> str:
    """Return the fingerprint of the trials of a tuned study from the output of its run."""
    return _fingerprint(printed, told=r"tune_pairs: (?:\[worker \d+\] )?[\d,]+ trials for [\d.]+% of the [\w' ]+")


def curves_fingerprint(printed: str) -> str:
    """Return the fingerprint of the curves from the output of a comparison of methods."""
    return _fingerprint(printed, told=r"train_pcl: (?:\[worker \d+\] )?[\d,]+ runs")


def rounds_fingerprint(printed: str) -> str:
    """Return the fingerprint of the table of rounds from the output of a run."""
    return _fingerprint(printed, told=r"collaborate_peers: (?:\[worker \d+\] )?[\d,]+ rounds, [^;\n]+", mark=";")


def _fingerprint(printed: str, *, told: str, mark: str = ",") -> str:
    found = re.search(rf"{told}{mark} fingerprint (\w+)", printed)
    assert found, printed
    return found[1]
