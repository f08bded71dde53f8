"""The pipeline pcl runs by the command line, and peers of the pipeline jointkd can be trained by PCL."""

import csv
import json
import subprocess
from pathlib import Path

import pytest
import torch

import peerkd
from peerkd.data.augment import normalize
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.results.curves import curves_by_key, fingerprint, read_curves
from peerkd.training.online.export import load_exported
from tests.pipelines.experiments import (
    TINY,
    TINY_STUDY,
    num_lines,
    run,
    run_and_kill,
    run_here_and_kill,
    stages_already_done,
    times_of_artifacts,
    trials,
)


def curves(output: Path):
    (path,) = output.glob("train_pcl/*/curves.parquet")
    return read_curves(path)


@pytest.fixture(scope="module")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The store and the output of a study that was not interrupted."""
    output = tmp_path_factory.mktemp("study") / "runs"
    return output, run(output, TINY_STUDY, pipeline="pcl")


def test_a_study_ends_with_curves_networks_and_a_report(finished_study):
    output, process = finished_study
    assert process.returncode == 0, process.stderr
    assert "train_pcl: 12 of 12 epochs (100%)" in process.stderr
    (report,) = output.glob("compare_methods/*/report.html")
    assert str(report) in process.stdout
    with (report.parent / "methods.csv").open() as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"plain", "pcl"}
    assert json.loads((report.parent / "metrics.json").read_text())
    names = {path.name for path in output.glob("train_pcl/*/networks/*")}
    deployed = {f"small_cnn-{method}-{seed}.safetensors" for method in ("plain", "pcl") for seed in (0, 1)}
    assert names == deployed | {f"small_cnn-pcl-{seed}-ensemble.safetensors" for seed in (0, 1)}


def test_an_exported_network_has_the_reported_accuracy_of_the_last_epoch(finished_study):
    output, _ = finished_study
    (dataset_file,) = output.glob("dataset/*/dataset.json")
    (split_file,) = output.glob("split_data/*/assignment.npz")
    dataset, test = open_dataset(dataset_file.parent), Assignment.load(split_file.parent).test
    images_NCHW = normalize(
        torch.from_numpy(dataset.read_images(test)),
        mean_C=torch.tensor(dataset.channel_mean),
        std_C=torch.tensor(dataset.channel_std),
    )
    told = {
        (key.method, key.seed, key.quantity): curve.values[-1]
        for key, curve in curves_by_key(curves(output)).items()
        if key.split == "test"
    }
    for name, method, quantity in (
        ("small_cnn-plain-1", "plain", "accuracy/branch_1"),
        ("small_cnn-pcl-1", "pcl", "accuracy/mean_branch_1"),
        ("small_cnn-pcl-1-ensemble", "pcl", "accuracy/mean_head"),
    ):
        (path,) = output.glob(f"train_pcl/*/networks/{name}.safetensors")
        with torch.inference_mode():
            answers_N = load_exported(path)(images_NCHW).argmax(dim=1)
        share = (answers_N == torch.from_numpy(dataset.labels_N[test])).double().mean().item()
        assert share == pytest.approx(told[method, 1, quantity], abs=1.5 / len(test)), name


def test_python_opens_the_networks_of_a_study(finished_study):
    output, _ = finished_study
    opened = peerkd.open_run(store=output)
    assert opened.metrics == json.loads(opened.report.with_name("metrics.json").read_text(encoding="utf-8"))
    assert opened.metrics == opened.stored.to_json()["metrics"]
    assert opened.cost is not None
    assert opened.cost.worker_seconds > 0
    for options, name in (
        ({"method": "plain"}, "small_cnn-plain-0"),
        ({"method": "pcl", "architecture": "small_cnn", "seed": 1}, "small_cnn-pcl-1"),
        ({"method": "pcl", "is_ensemble": True}, "small_cnn-pcl-0-ensemble"),
    ):
        (path,) = output.glob(f"train_pcl/*/networks/{name}.safetensors")
        network, expected = opened.network(**options), load_exported(path)
        assert not network.training
        assert all(map(torch.equal, network.state_dict().values(), expected.state_dict().values()))
    for options, message in (
        ({}, "method must be given, because the study has several: plain, pcl"),
        ({"method": "pcll"}, r"method must be plain or pcl, got pcll \(did you mean pcl\?\)"),
        ({"method": "pcl", "seed": 2}, "seed must be from 0 to 1, got 2"),
        ({"method": "plain", "is_ensemble": True}, "is_ensemble must be false for the method plain"),
        ({"peer": 0}, "peer and stage must not be given for a run of pcl"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            opened.network(**options)


def test_a_second_run_reports_finished_stages_and_trains_nothing(finished_study, run_here, capsys):
    output, first = finished_study
    before = times_of_artifacts(output)
    assert run_here(output, TINY_STUDY, pipeline="pcl") == 0
    told = capsys.readouterr()
    assert stages_already_done(told.err) == ["split_data", "train_pcl", "compare_methods"]
    assert told.out.splitlines()[-1] == first.stdout.splitlines()[-1]
    assert times_of_artifacts(output) == before


def test_a_study_killed_at_two_moments_ends_in_the_same_curves_and_networks(finished_study, run_here, tmp_path):
    """The command with all of its processes is killed once, while it trains."""
    whole, _ = finished_study
    output = tmp_path / "runs"
    for kill, moment in (
        (run_and_kill, lambda: any(output.glob("train_pcl/*.partial/scratch/*.safetensors"))),
        (run_here_and_kill, lambda: num_lines(output, "train_pcl") >= 2),
    ):
        kill(output, TINY_STUDY, at=moment, pipeline="pcl")
    assert run_here(output, TINY_STUDY, pipeline="pcl") == 0
    assert fingerprint(curves(output)) == fingerprint(curves(whole))
    for path in whole.glob("train_pcl/*/networks/*"):
        (same,) = output.glob(f"train_pcl/*/networks/{path.name}")
        assert same.read_bytes() == path.read_bytes()


def test_peers_trained_by_pcl_distil_like_any_other(run_here, tmp_path):
    output = tmp_path / "runs"
    settings = ["pretrain.method=pcl", "pretrain.collaboration.rampup_epochs=1", "peers.architectures=[small_cnn]"]
    assert run_here(output, [*TINY, *settings, "sweep.transfer_sets=[student]"]) == 0
    assert trials(output).num_rows == 6 * 4 + 3
    (peer,) = output.glob("pretrain_peers/*/peer-000.safetensors")
    (report,) = output.glob("build_report/*/report.html")
    assert "pcl" in report.read_text()
    assert peer.stat().st_size < 2 * 4 * 6_138, "one plain network, whatever trained it"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("collaboration.num_branches=1", "collaboration.num_branches must be at least 2, got 1."),
        (
            "collaboration.branch_point=layer9",
            "collaboration.branch_point must be stage2 for small_cnn, got layer9.",
        ),
        ("collaboration.temperature=0", "collaboration.temperature must be above 0, got 0."),
        (
            "architectures=[vgg16]",
            "architectures must accept the data set's images of 8x8 pixels, got vgg16, which needs at least 32x32.",
        ),
        ("methods=[plain,plcl]", "methods[1]"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_and_leaves_no_files(override, sentence, run_here, tmp_path, capsys):
    output = tmp_path / "runs"
    assert run_here(output, [override], pipeline="pcl") == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.out + captured.err
    assert not output.exists()


def test_the_command_refuses_a_batch_that_is_too_small_for_its_processes(tmp_path):
    output = tmp_path / "runs"
    process = run(output, ["training.num_processes=100"], pipeline="pcl")
    assert process.returncode == 2
    assert "training.num_processes must leave every process at least 2 samples of a batch, got 100" in process.stderr
    assert process.stderr.count("\n") == 1
    assert "Traceback" not in process.stdout + process.stderr
    assert not output.exists()


def test_architectures_that_do_not_accept_the_images_are_refused(run_here, tmp_path, capsys):
    assert run_here(tmp_path / "runs", [*TINY, "peers.architectures=[vgg16]"]) == 2
    sentence = "architectures must accept the data set's images of 8x8 pixels, got vgg16"
    assert sentence in capsys.readouterr().err
