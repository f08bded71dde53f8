"""The compiled pipeline jointkd runs on real digits by the command line, as a person runs it."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peerkd.config.pipelines import PIPELINES
from peerkd.results.table import fingerprint
from tests.pipelines.experiments import (
    NUM_TINY_TRIALS,
    TINY,
    num_lines,
    run_and_kill,
    run_here_and_kill,
    stages_already_done,
    times_of_artifacts,
    trials,
)

LASTING = (*TINY, "pretrain.epochs=20", "distill.epochs=15")
"""A run that is long enough to be killed during its sweep."""

PIPELINES_FOLDER = Path(__file__).parents[2] / "pipelines"


def test_the_committed_yaml_matches_the_code(tmp_path):
    subprocess.run([sys.executable, "-m", "pipelines.compile", str(tmp_path)], check=True)
    assert {path.stem for path in tmp_path.iterdir()} == set(PIPELINES)
    for path in tmp_path.iterdir():
        assert path.read_text() == (PIPELINES_FOLDER / path.name).read_text()


def test_a_run_ends_with_the_table_of_every_trial_and_a_report(finished):
    output, process = finished
    assert process.returncode == 0, process.stderr
    assert trials(output).num_rows == NUM_TINY_TRIALS
    (report,) = output.glob("build_report/*/report.html")
    assert str(report) in process.stdout
    assert f"{NUM_TINY_TRIALS} trials" in process.stdout
    with (report.parent / "pairs.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    assert json.loads((report.parent / "metrics.json").read_text())


def test_progress_is_printed_and_the_noise_of_the_runner_is_not(finished):
    _, process = finished
    lines = process.stdout.splitlines()
    assert f"distill_pairs: {NUM_TINY_TRIALS} of {NUM_TINY_TRIALS} trials (100%)" in process.stderr
    assert not any("KFP" in line or "executor" in line for line in lines)


def test_a_second_run_reports_finished_stages_and_trains_nothing(finished, run_here, capsys):
    output, first = finished
    before = times_of_artifacts(output)
    assert run_here(output) == 0
    second = capsys.readouterr()
    assert stages_already_done(second.err) == [
        "partition_data",
        "pretrain_peers",
        "distill_pairs",
        "improve_peers",
        "build_report",
    ]
    assert second.out.splitlines()[-1] == first.stdout.splitlines()[-1]
    assert times_of_artifacts(output) == before


def test_another_grid_reuses_the_peers(finished, run_here, tmp_path, capsys):
    whole, _ = finished
    output = tmp_path / "runs"
    shutil.copytree(whole, output)
    assert run_here(output, [*TINY, "sweep.temperatures=[2]"]) == 0
    assert stages_already_done(capsys.readouterr().err) == ["partition_data", "pretrain_peers"]


def test_a_run_killed_at_several_moments_ends_in_the_same_table(run_here, tmp_path, capsys):
    """The command is killed once with all of its processes, and otherwise as one process."""
    whole, output = tmp_path / "whole", tmp_path / "runs"
    assert run_here(whole, LASTING) == 0
    for kill, moment in (
        (run_here_and_kill, lambda: any(output.glob("pretrain_peers/*.partial/scratch/*.safetensors"))),
        (run_and_kill, lambda: num_lines(output, "distill_pairs") >= 10),
        (run_here_and_kill, lambda: num_lines(output, "distill_pairs") >= 60),
    ):
        kill(output, LASTING, at=moment)
    assert 60 <= num_lines(output, "distill_pairs") < NUM_TINY_TRIALS
    capsys.readouterr()
    assert run_here(output, LASTING) == 0
    assert f"distill_pairs: {NUM_TINY_TRIALS} of {NUM_TINY_TRIALS} trials (100%)" in capsys.readouterr().err
    assert fingerprint(trials(output)) == fingerprint(trials(whole))
    identical = trials(whole).drop_columns("seconds").equals(trials(output).drop_columns("seconds"))
    assert identical


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("sweep.alphas=[1.5]", "sweep.alphas[0] must be at most 1, got 1.5."),
        ("sweep.temperatures=[0]", "sweep.temperatures[0] must be above 0, got 0."),
        ("partition.num_peers=1", "partition.num_peers must be at least 2, got 1."),
        (
            "partition.num_pears=3",
            "partition.num_pears is not a key of the config (did you mean partition.num_peers?), got 3.",
        ),
        ("partition.num_peers=1000", "partition.num_peers must be at most 107, so that each has 10 of the 1,078"),
        ("data.source=cifar10 data.path=/nowhere", "data.path"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_and_leaves_no_files(override, sentence, run_here, tmp_path, capsys):
    output = tmp_path / "runs"
    assert run_here(output, override.split()) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.out + captured.err
    assert not output.exists()


def test_a_truncated_data_set_is_refused_in_one_sentence_and_leaves_no_files(run_here, tmp_path, capsys):
    folder = tmp_path / "images" / "train"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        (folder / name / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run_here(tmp_path / "runs", ["data.source=image_folder", f"data.path={folder.parent}"]) == 2
    captured = capsys.readouterr()
    assert "1.png" in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_written_is_refused(run_here, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run_here(tmp_path / "file" / "runs") == 2
    told = capsys.readouterr().err
    assert told.startswith("peerkd: output must be a folder that can be written")
    assert told.count("\n") == 1


def test_a_store_that_was_tampered_with_is_not_trusted(finished, run_here, tmp_path, capsys):
    whole, _ = finished
    output = tmp_path / "runs"
    shutil.copytree(whole, output)
    (weights,) = output.glob("pretrain_peers/*/peer-000.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert run_here(output, [*TINY, "distill.epochs=2"]) == 1
    assert "the content of peer-000.safetensors is not what its manifest says" in capsys.readouterr().err


def test_pipelines_are_imported_without_torch():
    """A fresh interpreter is used, because another test may have imported torch."""
    code = "import sys, pipelines.compile; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
