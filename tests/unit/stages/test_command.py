import json

import pytest

from peerkd.launch.edge import ERROR_FILE_VARIABLE
from peerkd.stages import command
from peerkd.stages.command import LAUNCHED, perform


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Return what ended the stage."""
    monkeypatch.setenv(ERROR_FILE_VARIABLE, str(tmp_path / "error.json"))

    def run(noun="distill_pairs", inputs=()):
        with pytest.raises(SystemExit):
            perform(noun, config_json="{}", store=str(tmp_path / "store"), inputs=list(inputs))
        return json.loads((tmp_path / "error.json").read_text())

    return run


def test_a_stage_that_is_not_launched_is_refused(told):
    assert told("build_report") == {
        "message": "stage must be one of pretrain_peers, distill_pairs, tune_pairs, train_pcl, got build_report.",
        "exit_code": 2,
    }


def test_an_input_that_the_store_does_not_have_is_told(told):
    error = told(inputs=["peers=pretrain_peers/a@0123"])
    assert error["message"].startswith("The store no longer has pretrain_peers/a")
    assert error["exit_code"] == 1


def test_a_worker_that_cannot_be_is_refused(told, monkeypatch):
    monkeypatch.setenv("PEERKD_WORKER_INDEX", "1")
    assert told()["message"] == "PEERKD_WORKER_INDEX must be below PEERKD_NUM_WORKERS (1), got 1."


def test_work_gets_the_config_the_inputs_and_its_place(tmp_path, monkeypatch):
    got = []

    class Module:
        @staticmethod
        def perform(config_json, inputs, store, worker):
            got.append((config_json, dict(inputs), worker.index, worker.num_workers))

    monkeypatch.setattr(command, "import_module", lambda name: Module)
    monkeypatch.setenv("PEERKD_WORKER_INDEX", "1")
    monkeypatch.setenv("PEERKD_NUM_WORKERS", "2")
    perform("train_pcl", config_json="{}", store=str(tmp_path), inputs=[])
    assert got == [("{}", {}, 1, 2)]


@pytest.mark.parametrize("noun", LAUNCHED)
def test_every_launched_stage_has_its_work(noun):
    module = __import__(LAUNCHED[noun], fromlist=["perform"])
    assert noun == module.NAME
    assert callable(module.perform)
