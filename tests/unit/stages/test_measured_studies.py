"""Which runs can be compared, and the settings by which they are grouped. Whole runs: tests/pipelines."""

from types import MappingProxyType

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import Manifest
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.stages.measured_studies import finished_runs, settings_as_text
from peerkd.stages.stored_runs import StoredRun


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
