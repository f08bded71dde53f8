"""Peers whose weights and images are in a bucket: studies of them on the cluster, and the networks they publish."""

import secrets
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from minio import Minio
from safetensors.torch import load_file
from torch.testing import assert_close

from peerkd.launch.package import read_arguments, read_package
from tests.bucket_hospitals import Hospitals, read_card, send_hospitals
from tests.e2e.kfp_pods import COMPILED, run_as_pods
from tests.e2e.kind import SETTING
from tests.e2e.studies import Site, Study, key_of_better_peers, trials_fingerprint

BUCKET = "peerkd"
SECONDS = 1200
"""A time that is enough for a round on a busy machine."""

MEMORY = "memory_per_worker=1536Mi"
"""More than other studies have: the workers import torchvision too."""


class Rounds(NamedTuple):
    """A study of the hospitals, and a second one that starts from the better peers of the first."""

    first: str
    second: str
    """The fingerprints of their tables of trials."""

    better: str
    """The key of the better peers that the first study has published."""

    store: str


@pytest.fixture(scope="module")
def hospitals(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Hospitals:
    address = site.endpoint.removeprefix("http://")
    client = Minio(address, site.access_key, site.secret_key, secure=False, region="us-east-1")
    return send_hospitals(client, BUCKET, f"hospitals-{secrets.token_hex(4)}", tmp_path_factory.mktemp("hospitals"))


@pytest.fixture(scope="module")
def file(hospitals: Hospitals, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "hospitals.yaml"
    path.write_text(yaml.safe_dump(hospitals.config, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def here(site: Site, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Rounds:
    return run_rounds(Study(site, tmp_path_factory.mktemp("here"), (), backend="local", config=file))


def run_rounds(study: Study) -> Rounds:
    first = study.run(seconds=SECONDS)
    assert first.returncode == 0, first.stdout
    better = key_of_better_peers(first.stdout)
    second = replace(study, overrides=(f"peers.from={better}",)).run(seconds=SECONDS)
    assert second.returncode == 0, second.stdout
    assert "distill_pairs: already done" not in second.stdout
    return Rounds(trials_fingerprint(first.stdout), trials_fingerprint(second.stdout), better, study.results)


def ask(site: Site, *words: str) -> str:
    """Return what a command of peerkd prints on this machine."""
    command = [sys.executable, "-m", "peerkd", *words]
    ended = subprocess.run(command, env=site.environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def export(site: Site, rounds: Rounds, student: int, weights: Path) -> Path:
    """Write the better network of a student to a file, and return the file."""
    ask(site, "export", rounds.store, "--student", str(student), "--study", rounds.better, "--to", str(weights))
    return weights


def typed(*pairs: str) -> dict[str, str]:
    """Return the arguments that ``peerkd submit`` would send for pairs that a person types."""
    return read_arguments(read_package(COMPILED), pairs)


def test_two_rounds_with_jobs_give_the_results_of_a_laptop_and_better_networks(
    site: Site, hospitals: Hospitals, file: Path, here: Rounds, tmp_path: Path
) -> None:
    settings = ("cpu_per_worker=500m", MEMORY, "shared_memory=128Mi")
    study = Study(site, tmp_path / "runs", (), config=file, settings=settings)
    there = run_rounds(study)
    assert there[:3] == here[:3]
    for student, before in enumerate(hospitals.accuracies):
        weights = export(site, there, student, tmp_path / f"there-{student}.safetensors")
        same = export(site, here, student, tmp_path / f"here-{student}.safetensors")
        # Their cards may name another version of Python.
        assert_close(load_file(weights), load_file(same), rtol=0, atol=0)
        card = read_card(weights)
        # The network was imported as it was, and the exported one is as good as its card says, to the last sample.
        assert card["accuracy_before"]["test_own_accuracy"] == pytest.approx(before, abs=1e-12)
        measured = hospitals.measure(student, weights)
        assert {name: card["accuracy_after"][name] for name in measured} == pytest.approx(measured, abs=1e-12)


def test_two_rounds_in_the_pods_of_a_pipeline_give_the_results_of_a_laptop(
    site: Site, hospitals: Hospitals, file: Path, here: Rounds
) -> None:
    store = f"s3://{BUCKET}/{secrets.token_hex(4)}"
    always = (f"store={store}", f"cluster={SETTING} {MEMORY}")
    first = run_as_pods(site, typed(*always, f"config_json={file.read_text(encoding='utf-8')}"))
    assert "networks and weights are checked when pretrain_peers begins" in first["partition-data"]
    assert trials_fingerprint(first["train-and-report"]) == here.first
    # The web page of KFP has a field of one line.
    line = yaml.safe_dump(hospitals.config, default_flow_style=True, width=10**6).strip()
    assert "\n" not in line
    better = key_of_better_peers(ask(site, "show", "latest", "--store", store))
    assert better == here.better
    second = run_as_pods(site, typed(*always, f"config_json={line}", f"overrides=peers.from={better}"))
    assert trials_fingerprint(second["train-and-report"]) == here.second


def test_weights_of_another_network_are_refused_by_the_workers_of_a_pipeline(site: Site, hospitals: Hospitals) -> None:
    north, south, *others = hospitals.config["peers"]["given"]
    swapped = {**hospitals.config, "peers": {"given": [{**north, "weights": south["weights"]}, south, *others]}}
    with pytest.raises(AssertionError, match=r"peers\.given\[0\]\.weights must fit the network mlp, got "):
        run_as_pods(site, typed(f"config_json={yaml.safe_dump(swapped)}"))
