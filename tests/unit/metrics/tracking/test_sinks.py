"""The sinks with their real libraries, where the environment has them, and the checks before any work."""

import subprocess
import sys
from pathlib import Path

import pytest

from peerkd.metrics.tracking import sinks
from peerkd.metrics.tracking.sinks import FOLDER_VARIABLE, SINKS, TrackedRun, check_sinks, open_sink, tracking_folder


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in (FOLDER_VARIABLE, sinks.MLFLOW_URI_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def run(folder, stage="distill_pairs"):
    return TrackedRun(name="digits-c0ffee00", stage=stage, config={"seed": 0, "sweep.alphas": [0.5]}, folder=folder)


def needs(name):
    pytest.importorskip(SINKS[name], reason=f"needs the extra {name}, which the lock does not have")


def write(name, folder):
    """Two stages of one run, of which the second ends it."""
    first = open_sink(name, run(folder))
    first.log_scalar("distill_pairs/trials_done", 10, step=10)
    first.log_scalar("distill_pairs/trials_done", 20, step=20)
    first.close()
    last = open_sink(name, run(folder, stage="build_report"))
    last.log_summary({"gain_points": 1.5})
    last.close()


@pytest.mark.parametrize("name", SINKS)
def test_a_missing_package_is_one_sentence_with_its_extra(name, monkeypatch, tmp_path):
    monkeypatch.setattr(sinks, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match="needs the package") as refused:
        check_sinks([name], folder=tmp_path)
    assert str(refused.value) == (
        f"compute.tracking: {name} needs the package {name}, which this environment lacks; install the extra with pip "
        f"install 'peerkd[{name}]'."
    )


def test_a_sink_that_writes_files_needs_a_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(sinks, "find_spec", lambda _: True)
    assert tracking_folder(None) is None
    assert tracking_folder(tmp_path) == tmp_path / "tracking"
    for name in ("tensorboard", "mlflow"):
        with pytest.raises(ValueError, match=f"{name} writes files, so {FOLDER_VARIABLE} must name a folder"):
            check_sinks([name], folder=None)
    check_sinks(["wandb"], folder=None)
    monkeypatch.setenv(sinks.MLFLOW_URI_VARIABLE, "https://mlflow.example")
    check_sinks(["mlflow"], folder=None)
    monkeypatch.setenv(FOLDER_VARIABLE, "elsewhere")
    assert tracking_folder(tmp_path) == Path("elsewhere")


def test_nothing_is_imported_unless_it_is_asked_for():
    code = "import sys, peerkd.stages.tracking; print({'mlflow', 'tensorboard', 'wandb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_tensorboard_has_curves_config_and_summary(tmp_path):
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write("tensorboard", tmp_path)
    (folder,) = (tmp_path / "tensorboard").iterdir()
    assert folder.name == "digits-c0ffee00"
    read = {}
    for file in sorted(folder.iterdir()):
        events = EventAccumulator(str(file))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            read[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
        (text,) = events.Tensors("config")
        assert b"sweep.alphas" in text.tensor_proto.string_val[0]
    assert read == {"distill_pairs/trials_done": [(10, 10), (20, 20)], "summary/gain_points": [(0, 1.5)]}


@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_one_run_with_curves_config_and_summary(tmp_path):
    needs("mlflow")
    write("mlflow", tmp_path)
    from mlflow.tracking import MlflowClient

    client = MlflowClient((tmp_path / "mlruns").as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("peerkd").experiment_id])
    assert (found.info.run_name, found.info.status) == ("digits-c0ffee00", "FINISHED")
    assert found.data.params == {"seed": "0", "sweep.alphas": "[0.5]"}
    assert found.data.metrics == {"distill_pairs/trials_done": 20, "summary/gain_points": 1.5}
    history = client.get_metric_history(found.info.run_id, "distill_pairs/trials_done")
    assert [(point.step, point.value) for point in history] == [(10, 10), (20, 20)]


@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_a_run_offline(tmp_path, monkeypatch):
    needs("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    write("wandb", tmp_path)
    assert list((tmp_path / "wandb").glob("offline-run-*-digits-c0ffee00/*.wandb"))
