"""Ten networks that were trained without peerkd, and the ten folders of images that they were trained on."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from onnxruntime import InferenceSession
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from peerkd.results.table import read_table
from peerkd.stages.export_student import ExportRequest, export_student
from tests import hospitals as plain
from tests import own_networks

NUM_PEERS = 10
NAMES = ("mlp", "small_cnn", "tests.own_networks:tiny_rgb")
SETTINGS: dict[str, Any] = {
    "name": "ten-hospitals",
    "data": {"source": "peers"},
    "distill": {"epochs": 1, "batch_size": 16},
    "sweep": {"temperatures": [1], "alphas": [0.5], "transfer_sets": ["student"]},
    "compute": {"device": "cpu"},
}

WITHOUT_PEERKD = """
import importlib.util, json, sys
from pathlib import Path

assert importlib.util.find_spec("peerkd.training") is None
from safetensors.torch import load_file

import hospitals
from own_networks import tiny_rgb

published, root = map(Path, sys.argv[1:])
tests = [root / f"hospital {peer}" / "images" / "test" for peer in range(10)]
for student in range(10):
    card = json.loads((published / f"student-{student:03d}.json").read_text())
    network = hospitals.builders(tiny_rgb)[student % 3](len(card["class_names"]))
    network.load_state_dict(load_file(published / card["file"]))
    assert card["channel_mean"] == [hospitals.MEAN] * 3 and card["channel_std"] == [hospitals.STD] * 3
    for scope, folders in (("own", tests[student : student + 1]), ("global", tests)):
        measured = hospitals.accuracy(network, card["class_names"], folders)
        print(student, scope, measured, card["accuracy_after"][f"test_{scope}_accuracy"])
"""


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]], list[float]]:
    """Checkpoints and folders of ten hospitals; returns the config's entries and the accuracies on own tests."""
    root = tmp_path_factory.mktemp("hospitals")
    torch.manual_seed(0)
    digits = load_digits()
    images = (digits.images * (255 / 16)).astype(np.uint8)
    entries, accuracies = [], []
    for peer in range(NUM_PEERS):
        classes = [(peer + k) % 10 for k in range(7 + peer % 4)]
        own = np.arange(peer, len(images), NUM_PEERS)
        folder = root / f"hospital {peer}"
        plain.write_folder(folder / "images", images[own], digits.target[own], classes)
        names = [f"digit {k}" for k in classes]
        build = plain.builders(own_networks.tiny_rgb)[peer % len(NAMES)]
        network = build(len(classes))
        plain.train(network, *plain.read_folder(folder / "images" / "train", names))
        weights = folder / ("best.pt" if peer % 2 else "best.safetensors")
        (torch.save if peer % 2 else save_file)(network.state_dict(), weights)
        accuracies.append(plain.accuracy(network, names, [folder / "images" / "test"]))
        entries.append(
            {
                "name": f"hospital {peer}",
                "network": NAMES[peer % len(NAMES)],
                "weights": str(weights),
                "data": str(folder / "images"),
                "classes": names,
                "mean": [plain.MEAN] * 3,
                "std": [plain.STD] * 3,
            }
        )
    return root, entries, accuracies


def test_ten_checkpoints_and_ten_folders_take_part_by_one_command(hospitals, run_here, tmp_path, capsys) -> None:
    root, entries, accuracies = hospitals
    file, output = tmp_path / "hospitals.yaml", tmp_path / "runs"
    file.write_text(yaml.safe_dump({**SETTINGS, "peers": {"given": entries}}), encoding="utf-8")
    assert run_here(output, (), "--config", str(file)) == 0
    said = capsys.readouterr()
    assert "hospital 3 has " in said.err
    assert "ten-hospitals: 90 ordered pairs of 10 peers" in said.out
    (folder,) = (path.parent for path in output.glob("pretrain_peers/*/manifest.json"))
    records = json.loads((folder / "manifest.json").read_text())["metadata"]["peers"]
    # Each peer was imported as it is: to the last tensor, and to the last sample of its own test split.
    assert [record["test_own_accuracy"] for record in records] == pytest.approx(accuracies, abs=1e-12)
    for peer, entry in enumerate(entries):
        given = torch.load(entry["weights"]) if entry["weights"].endswith(".pt") else load_file(entry["weights"])
        imported = load_file(folder / f"peer-{peer:03d}.safetensors")
        assert given.keys() == imported.keys()
        assert all(torch.equal(given[name], imported[name]) for name in given)
    (table,) = output.glob("distill_pairs/*/trials.parquet")
    trials = read_table(table)
    assert trials.num_rows == 90 + 10
    assert all(trials["is_finite"].to_pylist())
    # Ten better networks, measured where nobody knows peerkd.
    (published,) = output.glob("improve_peers/*/")
    for module in (plain, own_networks):
        shutil.copy(str(module.__file__), tmp_path)
    measured = subprocess.run(
        [sys.executable, "-S", "-c", WITHOUT_PEERKD, str(published), str(root)],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{sysconfig.get_path('purelib')}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert measured.returncode == 0, measured.stderr
    lines = [line.split() for line in measured.stdout.splitlines()]
    assert len(lines) == 2 * NUM_PEERS
    assert [line for line in lines if line[2] != line[3]] == []
    # An exported network is the hospital's own: its outputs are the classes that it knows, and nobody else's.
    file = tmp_path / "student.onnx"
    *_, line = export_student(str(output), ExportRequest(student=2, format_name="onnx", file=file))
    assert "validation images" in line
    images = plain.read_folder(root / "hospital 2" / "images" / "test", entries[2]["classes"])[0]
    (logits,) = InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"images": images.numpy()})
    assert logits.shape == (len(images), len(entries[2]["classes"]))


def test_a_mistake_in_one_of_ten_is_refused_before_any_training(hospitals, run_here, tmp_path, capsys) -> None:
    _, entries, _ = hospitals
    swapped = [{**entry} for entry in entries]
    swapped[4]["weights"] = entries[3]["weights"]
    file, output = tmp_path / "hospitals.yaml", tmp_path / "runs"
    file.write_text(yaml.safe_dump({**SETTINGS, "peers": {"given": swapped}}), encoding="utf-8")
    assert run_here(output, (), "--config", str(file)) == 2
    outcome = capsys.readouterr()
    assert "peerkd: peers.given[4].weights must fit the network small_cnn, got " in outcome.err
    assert "peer 4 (hospital 4): 12 missing: " in outcome.err
    assert not list(output.glob("*/*/manifest.json"))
