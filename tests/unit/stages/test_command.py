import json
from importlib import import_module

import pytest

from peerkd.artifacts.open import open_store
from peerkd.config.pcl import PclConfig
from peerkd.launch.exit_codes import ERROR_FILE_VARIABLE
from peerkd.stages import launched_stage
from peerkd.stages.command import LAUNCHED, find_stage, perform


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Return the error that ended the stage."""
    monkeypatch.setenv(ERROR_FILE_VARIABLE, str(tmp_path / "error.json"))

    def run(noun="distill_pairs", inputs=()):
        with pytest.raises(SystemExit):
            perform(noun, config_json="{}", store=str(tmp_path / "store"), inputs=list(inputs))
        return json.loads((tmp_path / "error.json").read_text())

    return run


def test_a_stage_that_is_not_launched_is_refused(told):
    assert told("build_report") == {
        "message": "stage must be one of pretrain_peers, distill_pairs, tune_pairs, improve_peers, train_pcl, "
        "collaborate_peers, got build_report.",
        "exit_code": 2,
    }


def test_an_input_that_the_store_does_not_have_is_reported(told):
    error = told(inputs=["peers=pretrain_peers/a@0123"])
    assert error["message"].startswith("The store no longer has pretrain_peers/a")
    assert error["exit_code"] == 1


def test_an_impossible_worker_index_is_refused(told, monkeypatch):
    monkeypatch.setenv("PEERKD_WORKER_INDEX", "1")
    assert told()["message"] == "PEERKD_WORKER_INDEX must be below PEERKD_NUM_WORKERS (1), got 1."


def test_work_receives_the_config_the_inputs_and_its_worker(tmp_path, monkeypatch):
    got = []

    class Module:
        @staticmethod
        def perform(config, source, store, worker):
            got.append((config, source, worker.index, worker.num_workers))

    modules = {"peerkd.stages.work.train_pcl": Module}
    monkeypatch.setattr(launched_stage, "import_module", modules.__getitem__)
    monkeypatch.setenv("PEERKD_WORKER_INDEX", "1")
    monkeypatch.setenv("PEERKD_NUM_WORKERS", "2")
    store = open_store(str(tmp_path))
    with store.open_workspace("split_data/a"):
        split = store.publish("split_data/a", metadata={})
    perform("train_pcl", config_json="{}", store=str(tmp_path), inputs=[f"split=split_data/a@{split.fingerprint}"])
    assert got == [(PclConfig(), split, 1, 2)]


@pytest.mark.parametrize("inputs", [(), ("split=split_data/a@{fingerprint}",)])
def test_an_input_of_another_stage_is_refused(told, tmp_path, inputs):
    store = open_store(str(tmp_path / "store"))
    with store.open_workspace("split_data/a"):
        split = store.publish("split_data/a", metadata={})
    error = told(inputs=[each.format(fingerprint=split.fingerprint) for each in inputs])
    assert error == {"message": f"input must name peers, got {'split' if inputs else 'none'}.", "exit_code": 2}


@pytest.mark.parametrize("noun", LAUNCHED)
def test_every_launched_stage_has_its_work(noun):
    assert find_stage(noun).name == noun
    assert callable(import_module(f"peerkd.stages.work.{noun}").perform)
