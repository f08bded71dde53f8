"""``peerkd run --workers 0`` runs the stages of a pipeline in the process of the command."""

import json
import shutil
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from peerkd.artifacts.open import open_store
from peerkd.results.curves import read_curves
from peerkd.results.table import fingerprint
from peerkd.stages.shard_queue import ShardQueue
from peerkd.stages.stored_runs import list_runs
from peerkd.training import student_groups
from peerkd.training.distill import distill
from tests.debugger import Stop
from tests.pipelines.experiments import NUM_TINY_TRIALS, TINY, num_lines, trials

SMALL_STUDY = ("methods=[plain]", "num_seeds=1", "training.epochs=1", "training.batch_size=128")
SMALL_RESNETS = (
    *TINY,
    "partition.num_peers=2",
    "data.max_train_samples=150",
    "data.max_test_samples=50",
    "pretrain.epochs=1",
    "sweep.temperatures=[1]",
    "sweep.alphas=[0.5]",
    "sweep.transfer_sets=[student]",
    "peers.architectures=[resnet20]",
)


def test_a_run_in_one_process_has_the_results_of_one_in_many(finished, run_here, tmp_path, capsys):
    in_processes, _ = finished
    num_threads = torch.get_num_threads()
    assert run_here(tmp_path / "runs") == 0
    assert fingerprint(trials(tmp_path / "runs")) == fingerprint(trials(in_processes))
    assert torch.get_num_threads() == num_threads
    assert f"{NUM_TINY_TRIALS} trials" in capsys.readouterr().out
    # It also finds the artifacts of the other run.
    shutil.copytree(in_processes, tmp_path / "copy")
    assert run_here(tmp_path / "copy") == 0
    assert capsys.readouterr().err.count("already done") == 5


def test_a_breakpoint_in_distill_stops_the_command(run_here, tmp_path, monkeypatch):
    stops = []

    def distill_with_breakpoint(*arguments, **options):
        breakpoint()
        return distill(*arguments, **options)

    monkeypatch.setattr(student_groups, "distill", distill_with_breakpoint)
    monkeypatch.setattr(sys, "breakpointhook", lambda: stops.append(Stop.here()))
    assert run_here(tmp_path / "runs", SMALL_RESNETS) == 0
    (improved,) = (tmp_path / "runs").glob("improve_peers/*/manifest.json")
    num_trained_again = json.loads(improved.read_text())["metadata"]["num_trials"]
    assert len(stops) == trials(tmp_path / "runs").num_rows + num_trained_again
    assert all(stop.is_here for stop in stops)


def test_a_tuned_study_runs_in_one_process(run_here, tmp_path, capsys):
    assert run_here(tmp_path / "runs", (*TINY, "tune.budget_fraction=0.5"), "--strategy", "tune") == 0
    assert "report_choices: " in capsys.readouterr().err
    assert list((tmp_path / "runs").glob("tune_pairs/*/features.parquet"))


def test_a_study_of_methods_runs_in_one_process(run_here, tmp_path, capsys):
    assert run_here(tmp_path / "runs", SMALL_STUDY, "--json", pipeline="pcl") == 0
    facts = json.loads(capsys.readouterr().out)
    assert all(Path(path).is_file() for path in facts["files"].values())
    assert facts["summary"] == Path(facts["files"]["summary.txt"]).read_text()
    assert facts["metrics"]
    (path,) = (tmp_path / "runs").glob("train_pcl/*/curves.parquet")
    assert read_curves(path).num_rows
    (run,) = list_runs(open_store(str(tmp_path / "runs")), notify=pytest.fail)
    assert (run.pipeline, run.is_finished) == ("pcl", True)
    assert run.key.startswith("run/")


@pytest.mark.skipif(
    find_spec("tensorboard") is None, reason="needs the extra tensorboard, which the lock does not have"
)
def test_tracking_changes_no_result_and_no_key(run_here, tmp_path):
    curves = []
    for name, more in (("plain", ()), ("tracked", ("compute.tracking=[tensorboard]",))):
        assert run_here(tmp_path / name, (*SMALL_STUDY, *more), pipeline="pcl") == 0
        curves += (tmp_path / name).glob("train_pcl/*/curves.parquet")
    plain, tracked = curves
    assert plain.parent.name == tracked.parent.name
    assert read_curves(plain).equals(read_curves(tracked))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags = set()
    for file in (tmp_path / "tracked" / "tracking" / "tensorboard").glob("*/*"):
        events = EventAccumulator(str(file))
        events.Reload()
        tags |= set(events.Tags()["scalars"])
    assert {"train_pcl/epochs_done", "train_pcl/loss/loss"} <= tags
    assert any(tag.startswith("summary/") for tag in tags)


def test_an_interrupted_run_says_so_and_continues(run_here, tmp_path, capsys, monkeypatch):
    output = tmp_path / "interrupted"
    append = ShardQueue.add_record

    def interrupt(queue, claimed, record, *names, **options):
        append(queue, claimed, record, *names, **options)
        if "alpha" in record and num_lines(output, "distill_pairs") >= 20:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(ShardQueue, "add_record", interrupt)
        assert run_here(output) == 130
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == "peerkd: interrupted; run the same command again to continue."
    (record,) = output.glob("run/*/experiment.json")
    assert told[-2].strip() == f"peerkd run jointkd --config {record} --output {output}"
    assert 20 <= num_lines(output, "distill_pairs") < NUM_TINY_TRIALS
    num_done_again = []

    def count(queue, claimed, record, *names, **options):
        if "alpha" in record:
            num_done_again.append(1)
        append(queue, claimed, record, *names, **options)

    monkeypatch.setattr(ShardQueue, "add_record", count)
    assert run_here(output) == 0
    assert len(num_done_again) == NUM_TINY_TRIALS - 20
    assert run_here(tmp_path / "at once") == 0
    assert fingerprint(trials(output)) == fingerprint(trials(tmp_path / "at once"))


@pytest.mark.parametrize(
    ("pipeline", "overrides", "message"),
    [
        ("jointkd", (*TINY, "pretrain.learning_rate=1e30"), "peerkd: All 3 peers diverged in pre-training, but at "),
        ("pcl", ("training.num_processes=2",), "peerkd: training.num_processes must be 1 if the number of workers "),
    ],
)
def test_a_mistake_is_reported_in_a_sentence(run_here, tmp_path, capsys, pipeline, overrides, message):
    assert run_here(tmp_path / "runs", overrides, pipeline=pipeline) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith(message)
    assert sum(line.startswith("peerkd: ") for line in told) == 1


def test_a_defect_passes_with_its_traceback(run_here, tmp_path, monkeypatch):
    def fail(*_arguments, **_options):
        raise ZeroDivisionError

    monkeypatch.setattr("peerkd.stages.work.pretrain_peers.perform", fail)
    with pytest.raises(ZeroDivisionError):
        run_here(tmp_path / "runs")
