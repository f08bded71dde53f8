"""A real run of a pipeline with one task, whose argument selects its action."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import pytest
from kfp import compiler, dsl, kubernetes

from components.decorators import component, launched_component
from peerkd.config.launch import LaunchConfig
from peerkd.errors import StageFailedError
from peerkd.launch.exit_codes import ERROR_FILE_VARIABLE, RUNNER_PID_VARIABLE
from peerkd.launch.local_pipeline import run_pipeline


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def act(what: str) -> str:
    """Do the requested action within a stage's edge."""
    import os

    from peerkd.errors import WorkspaceBusyError
    from peerkd.launch.exit_codes import RUNNER_PID_VARIABLE, exiting_on_errors
    from peerkd.metrics.progress import print_line

    with exiting_on_errors("act"):
        print_line("act", what)
        if what == "refuse":
            raise ValueError("what must be something else, got refuse.")
        if what == "fail":
            raise WorkspaceBusyError("Another process is at work.")
        if what == "die":
            print("on the way out")  # noqa: T201
            os._exit(7)
    return os.environ[RUNNER_PID_VARIABLE]


@dsl.pipeline(name="one")
def one(what: str) -> str:
    return act(what=what).output


@component
def describe(cluster: str) -> NamedTuple("Described", [("launch", str)]):
    """Return the launch description, as the first task of peerkd's pipelines does."""
    from peerkd.config.launch import LaunchConfig

    return (LaunchConfig.from_parameters(backend="auto", num_workers="", gpus="", cluster=cluster).to_json(),)


@launched_component
def notify(launch: str, run_id: str, task_config: dsl.TaskConfig) -> str:
    """Return the launch description, the run and the task config that a launcher receives."""
    import dataclasses
    import json

    return json.dumps([launch, run_id, dataclasses.asdict(task_config)])


@dsl.pipeline(name="told")
def told(cluster: str) -> str:
    task = notify(launch=describe(cluster=cluster).outputs["launch"], run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    task.set_memory_limit("1Gi").set_accelerator_type("nvidia.com/gpu").set_accelerator_limit("2")
    kubernetes.use_secret_as_env(task, "peerkd-store", {"access-key": "PEERKD_S3_ACCESS_KEY"}, optional=True)
    return task.output


@pytest.fixture(scope="module")
def pipeline_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compiled") / "one.yaml"
    compiler.Compiler().compile(one, str(path))
    return path


@pytest.fixture(autouse=True)
def _import_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


def test_the_output_comes_back_and_people_see_progress_and_no_noise(
    pipeline_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    assert run_pipeline(pipeline_file, {"what": "work"}) == str(os.getpid())
    assert capsys.readouterr() == ("", "act: work\n")
    assert dict(os.environ) == before


def test_an_error_that_the_user_can_fix_is_a_value_error_with_the_message_of_the_stage(pipeline_file: Path) -> None:
    before = dict(os.environ)
    with pytest.raises(ValueError, match=r"^what must be something else, got refuse\.$"):
        run_pipeline(pipeline_file, {"what": "refuse"})
    assert dict(os.environ) == before


def test_an_outside_failure_is_a_failed_stage_with_the_message_of_the_stage(pipeline_file: Path) -> None:
    with pytest.raises(StageFailedError, match=r"^Another process is at work\.$"):
        run_pipeline(pipeline_file, {"what": "fail"})


def test_a_stage_that_dies_is_reported_with_its_last_lines(pipeline_file: Path) -> None:
    with pytest.raises(StageFailedError, match=r"(?s)^A stage ended without an error message.*\n.*on the way out"):
        run_pipeline(pipeline_file, {"what": "die"})


def test_variables_that_were_set_before_are_set_again(pipeline_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ERROR_FILE_VARIABLE, RUNNER_PID_VARIABLE):
        monkeypatch.setenv(name, "1")
    run_pipeline(pipeline_file, {"what": "work"})
    assert {os.environ[name] for name in (ERROR_FILE_VARIABLE, RUNNER_PID_VARIABLE)} == {"1"}


def test_a_pipeline_for_a_cluster_runs_here_without_a_run_and_without_a_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The pipeline has two documents, a placeholder, resources, a TaskConfig, and settings of the jobs."""
    path = tmp_path / "told.yaml"
    compiler.Compiler().compile(told, str(path))
    assert path.read_text().count("\n---\n") == 1
    cluster = """queue=q 'env=[{name: A, value: "b=c"}]' "x","run_id":"y" \\t\\ {{x}} \u00e9 {0}\n%s"""
    launch, run_id, task_config = json.loads(run_pipeline(path, {"cluster": cluster}))
    assert LaunchConfig.from_json(launch).cluster == cluster
    assert run_id == ""
    assert not any(task_config.values())
    assert capfd.readouterr() == ("", "")
