"""Peers whose weights and images are in a bucket: studies of them on the cluster, and the networks they publish."""

import re
import secrets
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from minio import Minio

from peerkd.launch.package import read_arguments, read_package
from tests.bucket_hospitals import Hospitals, read_card, send_hospitals
from tests.e2e.kfp_pods import COMPILED, run_as_pods
from tests.e2e.kind import SETTING
from tests.e2e.studies import Site, Study, trials_fingerprint

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
    return Rounds(trials_fingerprint(first.stdout), trials_fingerprint(second.stdout), better)


def key_of_better_peers(printed: str) -> str:
    found = re.search(r"improve_peers/[0-9a-f]{16}", printed)
    assert found, printed
    return found[0]


def ask(site: Site, *words: str) -> str:
    """Return what a command of peerkd prints on this machine."""
    command = [sys.executable, "-m", "peerkd", *words]
    ended = subprocess.run(command, env=site.environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def typed(*pairs: str) -> dict[str, str]:
    """Return the arguments that ``peerkd submit`` would send for pairs that a person types."""
    return read_arguments(read_package(COMPILED), pairs)


def test_two_rounds_with_jobs_give_the_results_of_a_laptop_and_better_networks(
    site: Site, hospitals: Hospitals, file: Path, here: Rounds, tmp_path: Path
) -> None:
    settings = ("cpu_per_worker=500m", MEMORY, "shared_memory=128Mi")
    study = Study(site, tmp_path / "runs", (), config=file, settings=settings)
    there = run_rounds(study)
    assert there[:2] == here[:2]
    for student, before in enumerate(hospitals.accuracies):
        weights = tmp_path / f"student-{student}.safetensors"
        ask(site, "export", study.store, "--student", str(student), "--study", there.better, "--to", str(weights))
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
    second = run_as_pods(site, typed(*always, f"config_json={line}", f"overrides=peers.from={better}"))
    assert trials_fingerprint(second["train-and-report"]) == here.second


def test_weights_of_another_network_are_refused_by_the_workers_of_a_pipeline(site: Site, hospitals: Hospitals) -> None:
    north, south, *others = hospitals.config["peers"]["given"]
    swapped = {**hospitals.config, "peers": {"given": [{**north, "weights": south["weights"]}, south, *others]}}
    with pytest.raises(AssertionError, match=r"peers\.given\[0\]\.weights must fit the network mlp, got "):
        run_as_pods(site, typed(f"config_json={yaml.safe_dump(swapped)}"))
