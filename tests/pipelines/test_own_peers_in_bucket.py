"""A study of peers whose weights and images are in a bucket, and whose store is in the bucket too."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import torch
import yaml
from minio import Minio
from safetensors.torch import load_file

from peerkd.artifacts.open import open_store
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import load
from peerkd.stages import partition_data
from peerkd.stages.export_student import ExportRequest, export_student
from peerkd.stages.given_peers import fetch_weights
from tests.bucket_hospitals import KINDS, read_card, send_hospitals
from tests.s3_server import S3Server


def test_a_study_of_peers_in_a_bucket_gives_better_networks_and_a_second_round_starts_from_them(
    s3_server: S3Server, run_here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PEERKD_CACHE_FOLDER", str(tmp_path / "cache"))
    address = s3_server.endpoint.removeprefix("http://")
    client = Minio(address, s3_server.access_key, s3_server.secret_key, secure=False, region="us-east-1")
    # An object for each image would take this server seconds.
    prefix, (north, south, _) = uuid4().hex, KINDS
    kinds = (replace(north, data=south.data, objects_of=south.objects_of), south)
    hospitals = send_hospitals(client, s3_server.bucket, f"{prefix}/hospitals", tmp_path / "hospitals", kinds=kinds)
    file = tmp_path / "hospitals.yaml"
    file.write_text(yaml.safe_dump(hospitals.config), encoding="utf-8")
    store = f"s3://{s3_server.bucket}/{prefix}/runs"
    assert run_here(tmp_path / "reports", (), "--config", str(file), "--store", store) == 0
    opened = open_store(store)
    (better,) = (key for key in opened.keys() if key.startswith("improve_peers/"))  # noqa: SIM118
    # The terminal says from what a second round starts.
    assert better in capsys.readouterr().out
    decisions = set()
    files = [tmp_path / f"student-{student}.safetensors" for student in range(len(kinds))]
    for student, (weights, before) in enumerate(zip(files, hospitals.accuracies, strict=True)):
        list(export_student(store, ExportRequest(student=student, format_name="safetensors", file=weights)))
        card = read_card(weights)
        decisions.add(card["decision"])
        assert card["accuracy_before"]["test_own_accuracy"] == pytest.approx(before, abs=1e-12)
        measured = hospitals.measure(student, weights)
        assert {name: card["accuracy_after"][name] for name in measured} == pytest.approx(measured, abs=1e-12)
    assert decisions != {"leave"}
    again = load(JOINTKD, preset=None, config_file=file, overrides=[f"peers.from={better}"])
    partition = partition_data.partition(again, opened, num_processes=0)
    for ours, theirs in zip(map(load_file, files), map(load_file, fetch_weights(partition, opened)), strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
