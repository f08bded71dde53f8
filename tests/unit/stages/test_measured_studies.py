"""Which runs can be compared, and the settings by which they are grouped. Whole runs: tests/pipelines."""

from types import MappingProxyType

import numpy as np
import pytest

from peerkd.artifacts import references
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import Manifest
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.results import choices
from peerkd.results.compared_studies import Quantity, compare_studies
from peerkd.stages.build_report import PAIRS_NAME
from peerkd.stages.measured_studies import FinishedRun, finished_runs, measured_studies, settings_as_text
from peerkd.stages.stored_runs import StoredRun

PAIRS = """\
student,teacher,test_global_gain,single_test_global_gain,default_test_global_gain,control_test_global_gain,\
test_global_gain_from_teacher
0,1,0.3,0.2,0.1,0.1,
"""
CHOICES = choices.assemble(
    [
        {
            **{field.name: None for field in choices.CHOICES.schema},
            "student": 0,
            "teacher": 1,
            "decision": "distil",
            "num_trials": 1,
            "epochs": 1,
            "test_gain": 0.5,
        }
    ],
    choices.CHOICES,
)
TABLES = {"distill_pairs": {PAIRS_NAME: PAIRS}, "tune_pairs": {}}


def publish(store, key, metadata, files=MappingProxyType({})):
    with store.open_workspace(key) as workspace:
        for name, text in files.items():
            (workspace.folder / name).write_text(text)
        return store.publish(key, metadata=metadata)


def stored(name, *, pipeline="jointkd", key="run/a", stages_left=()):
    report = None if stages_left else Manifest(key="build_report/a", files={}, metadata={})
    return StoredRun(
        name=name,
        key=key,
        pipeline=pipeline,
        strategy="sweep",
        started_at=None,
        finished_at=None,
        stages_left=stages_left,
        headline="",
        cost=None,
        artifacts=MappingProxyType({}),
        report=report,
    )


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (stored("b", pipeline="pcl"), "RUN must name runs of one pipeline, got a of jointkd and b of pcl."),
        (stored("b", stages_left=("build_report",)), "RUN must name finished runs, got b, which lacks build_report:"),
        (stored("b", key="build_report/b"), "RUN must name runs that recorded their settings, got b, which an earlier"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_in_a_sentence(second, sentence, tmp_path):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        finished_runs([stored("a"), second], FilesystemStore(tmp_path))
    assert str(caught.value).startswith(sentence)


def test_settings_have_dotted_names_and_no_seed():
    settings = settings_as_text(ExperimentConfig(seed=3, num_seeds=2))
    assert settings["partition.label_skew.kind"] == "dirichlet"
    assert settings["sweep.alphas"].startswith("[")
    assert {"seed", "num_seeds", "name", "compute.device"}.isdisjoint(settings)


@pytest.mark.parametrize("config", [ExperimentConfig, CollaborateConfig])
def test_each_study_of_several_seeds_is_the_run_of_its_seed_alone(config):
    assert config(seed=3, num_seeds=3).studies == tuple(config(seed=seed) for seed in (3, 4, 5))
    assert config(seed=3).studies == (config(seed=3),)


def test_seeds_that_are_too_large_are_refused():
    with pytest.raises(ValueError, match=r"seed \+ num_seeds must be at most 4294967296, got 4294967295 \+ 2"):
        ExperimentConfig(seed=2**32 - 1, num_seeds=2)


def test_a_sweep_and_a_tuned_study_of_one_config_differ_in_their_strategy(tmp_path):
    store, config = FilesystemStore(tmp_path), ExperimentConfig()
    runs = []
    for kind, report in (("distill_pairs", "build_report"), ("tune_pairs", "report_choices")):
        trials = publish(store, f"{kind}/a", {"inputs": {"peers": {"key": "pretrain_peers/a", "fingerprint": "f"}}})
        accuracies = {"test_global_accuracy": 0.5, "test_own_accuracy": 0.5}
        students = [{"student": 0, "before": accuracies, "after": dict.fromkeys(accuracies, 0.75)}]
        metadata = {"inputs": {"trials": references.reference(trials)}, "students": students}
        improved = publish(store, f"improve_peers/{kind[0]}", metadata)
        inputs = {"inputs": {"improved": references.reference(improved)}}
        runs.append(FinishedRun(name=kind, config=config, report=publish(store, f"{report}/a", inputs, TABLES[kind])))
        if kind == "tune_pairs":
            choices.write_table(CHOICES, store.fetch(trials.key) / "choices.parquet", choices.CHOICES)
    swept, tuned = measured_studies(runs, store)
    assert swept.peers == tuned.peers == "f"
    comparison = compare_studies([swept, tuned])
    assert comparison.fields == ("strategy",)
    assert [each.title for each in comparison.quantities] == ["global gain, better peers", "own gain, better peers"]
    assert swept.values[comparison.quantities[0]][0] == 0.25
    assert np.isnan(swept.values[comparison.quantities[0]][1:]).all()
    gains_PP = swept.values[Quantity("global gain, best setting minus best training without a teacher", False)]
    assert gains_PP[0, 1] == pytest.approx(0.3 - 0.1)
    assert np.isfinite(gains_PP).sum() == 1
    assert tuned.mean(Quantity("gain of the objective, chosen settings that were tried", False)) == 0.5
