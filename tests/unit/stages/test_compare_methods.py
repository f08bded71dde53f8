import json
from dataclasses import replace

import pytest

from peerkd.artifacts import references
from peerkd.artifacts.open import open_store
from peerkd.results.curves import fingerprint, write_curves
from peerkd.stages import compare_methods, train_pcl
from peerkd.stages.run_record import find_route, record_run
from peerkd.stages.stored_runs import list_runs
from peerkd.stages.work import compare_methods as work
from tests.curves import MethodStudy


@pytest.fixture
def study():
    return MethodStudy(methods=("plain", "pcl"), num_seeds=2, epochs=3)


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def runs(study, store):
    """The manifest of the runs of a study, with all its inputs."""
    facts = study.facts
    with store.open_workspace("dataset/a"):
        dataset = store.publish(
            "dataset/a",
            metadata={
                "fingerprint": "ab" * 32,
                "remarks": ["2 classes: label 1 is class 0; label 7 is class 1"],
                "skipped": [{"kind": "hidden files", "num": 1, "examples": [".DS_Store"]}],
            },
        )
    with store.open_workspace("split_data/a"):
        split = store.publish(
            "split_data/a",
            metadata={
                "inputs": {"dataset": references.reference(dataset)},
                "fingerprint": "cd" * 32,
                "num_train": facts.num_train_samples,
                "num_validation": facts.num_validation_samples,
                "num_test": facts.num_test_samples,
                "class_names": list(facts.class_names),
                "warnings": ["The validation set has 2 samples."],
                "image_shape": list(facts.image_shape),
            },
        )
    with store.open_workspace("train_pcl/a") as workspace:
        write_curves(study.table, workspace.folder / train_pcl.CURVES_NAME)
        return store.publish(
            "train_pcl/a",
            metadata={
                "inputs": {"split": references.reference(split)},
                "fingerprint": fingerprint(study.table),
                "runs": [
                    {
                        "architecture": run.architecture,
                        "method": run.method,
                        "seed": run.seed,
                        "num_training_parameters": run.num_training_parameters,
                        "num_deployed_parameters": run.num_deployed_parameters,
                        "num_samples_per_epoch": run.num_samples_per_epoch,
                        "seconds": run.seconds,
                        "is_finite": run.is_finite,
                    }
                    for run in facts.runs
                ],
                "device": "cpu",
                "machine": "2 cores",
                "versions": {"peerkd": "0.1.0"},
            },
        )


def test_a_study_is_compared_and_shown(study, store, runs, tmp_path):
    logged, described = {}, {}
    made = compare_methods.STAGE.make_all(study.config, [runs], store)
    compare_methods.STAGE.copy(
        made,
        store,
        report_path=str(tmp_path / "report"),
        table_path=str(tmp_path / "methods"),
        describe_table=described.update,
        log_metric=logged.__setitem__,
    )
    folder = store.fetch(made.key)
    page = (tmp_path / "report").read_text()
    assert page == (folder / "report.html").read_text()
    assert "<li>2 classes: label 1 is class 0; label 7 is class 1</li>" in page
    assert "<li>skipped: hidden files: 1 (.DS_Store)</li>" in page
    assert "<li><strong>Warning:</strong> The validation set has 2 samples.</li>" in page
    assert (tmp_path / "methods").read_text() == (folder / "methods.csv").read_text()
    assert described == {"display_name": "methods.csv"}
    assert logged == json.loads((folder / "metrics.json").read_text())
    assert "small_cnn_pcl_over_baseline_points" in logged
    assert "PCL" in (folder / "summary.txt").read_text()


def test_the_loss_in_the_file_of_metrics_is_not_logged_as_a_number(study, store, runs, tmp_path, monkeypatch):
    record = {"loss": {"kind": "kl"}}

    contents_without_loss = work.compute_contents
    monkeypatch.setattr(
        work, "compute_contents", lambda *given: replace(contents_without_loss(*given), loss_record=record)
    )
    logged = {}
    made = compare_methods.STAGE.make_all(study.config, [runs], store)
    compare_methods.STAGE.copy(
        made,
        store,
        report_path=str(tmp_path / "report"),
        table_path=str(tmp_path / "methods"),
        describe_table=lambda _: None,
        log_metric=logged.__setitem__,
    )
    assert json.loads((store.fetch(made.key) / "metrics.json").read_text()) == {**record, **logged}
    assert all(isinstance(value, float) for value in logged.values())


def test_finished_work_is_not_repeated_and_another_baseline_is_another_comparison(study, store, runs):
    first = compare_methods.STAGE.make(study.config, runs, store)
    assert compare_methods.STAGE.make(study.config, runs, store).key == first.key
    evaluation = study.config.evaluation.model_copy(update={"baseline": "pcl"})
    other = study.config.model_copy(update={"evaluation": evaluation})
    assert compare_methods.STAGE.make(other, runs, store).key != first.key


def test_a_report_names_its_run_and_the_time_of_its_end(study, store, runs):
    split = references.follow(runs.metadata["inputs"]["split"], store)
    record = record_run(study.config, split, store, route=find_route("pcl", None))
    made = compare_methods.STAGE.make(study.config, runs, store)
    assert made.metadata["run"] == record.key
    (run,) = list_runs(store, notify=pytest.fail)
    assert (run.key, run.report, run.finished_at) == (record.key, made, made.metadata["finished_at"])
    assert run.headline == "against plain: 0 above, 0 below, 1 undecided"


def test_the_place_of_computation_does_not_change_the_study(study, store, runs):
    compute = study.config.compute.model_copy(update={"num_workers": 7})
    elsewhere = study.config.model_copy(update={"compute": compute})
    assert (
        compare_methods.STAGE.make(elsewhere, runs, store).key
        == compare_methods.STAGE.make(study.config, runs, store).key
    )
