"""The compiled pipelines respect the limits that were measured on Kubeflow Pipelines 2.17.0 (docs/cluster.md)."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import peerkd
from components.images import CONTROL_IMAGE, TRAINER_IMAGE
from peerkd.config.cluster import ClusterConfig
from peerkd.launch.doctor.admission import sample_order
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.manifest import pod_template_for
from peerkd.launch.package import Package, read_package

FOLDER = Path(__file__).parents[2] / "pipelines"
NAMES = ("jointkd", "pcl", "collaborate")
LAST = "train-and-report"
RUN_ID = "{{$.pipeline_job_uuid}}"
FIRST = {"jointkd": "partition-data", "pcl": "split-data", "collaborate": "partition-data"}

each_pipeline = pytest.mark.parametrize("name", NAMES)


def package(name: str) -> Package:
    return read_package(FOLDER / f"{name}.yaml")


def tasks(name: str) -> dict[str, Any]:
    """Return the tasks of a pipeline, all of which run a component."""
    spec = package(name).documents[0]
    found: dict[str, Any] = spec["root"]["dag"]["tasks"]
    assert all("executorLabel" in spec["components"][task["componentRef"]["name"]] for task in found.values())
    return found


def last(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the task that launches jobs, and its component."""
    task = tasks(name)[LAST]
    return task, package(name).documents[0]["components"][task["componentRef"]["name"]]


@each_pipeline
def test_a_run_has_two_tasks_of_which_the_first_can_be_answered_from_the_cache(name: str) -> None:
    """The decision record 58 computes from this how long a repeated run takes."""
    assert {key: task["cachingOptions"].get("enableCache", False) for key, task in tasks(name).items()} == {
        FIRST[name]: True,
        LAST: False,
    }
    assert tasks(name)[LAST]["dependentTasks"] == [FIRST[name]]


@each_pipeline
def test_nothing_that_differs_between_two_identical_runs_reaches_a_cached_task(name: str) -> None:
    """KFP's key has all parameters and the ids of all input artifacts."""
    inputs = tasks(name)[FIRST[name]]["inputs"]
    assert inputs.keys() == {"parameters"}
    for source in inputs["parameters"].values():
        (kind,) = source
        assert kind in ("componentInputParameter", "runtimeValue")
        assert "{{" not in str(source)


@each_pipeline
def test_the_server_shows_a_task_by_the_name_of_its_component(name: str) -> None:
    for key, task in tasks(name).items():
        assert task["taskInfo"]["name"] == key == task["componentRef"]["name"].removeprefix("comp-")


@each_pipeline
def test_the_last_task_has_the_page_the_table_and_the_numbers_of_the_report(name: str) -> None:
    _, component = last(name)
    outputs = component["outputDefinitions"]
    assert {key: each["artifactType"]["schemaTitle"] for key, each in outputs["artifacts"].items()} == {
        "report": "system.HTML",
        "table": "system.Dataset",
        "metrics": "system.Metrics",
    }
    result = package(name).documents[0]["root"]["dag"]["outputs"]["parameters"]["Output"]["valueFromParameter"]
    assert result == {"producerSubtask": LAST, "outputParameterKey": "Output"}


@each_pipeline
def test_every_parameter_is_a_string_with_a_default_and_a_description(name: str) -> None:
    """A number would be dropped where it is a count of GPUs, and a dict would lose the type of its numbers."""
    parameters = package(name).parameters
    assert set(parameters) == {
        *("preset", "overrides", "config_json", "store"),
        *("backend", "num_workers", "gpus", "cluster"),
        *(["strategy"] if name == "jointkd" else []),
    }
    for parameter in parameters.values():
        assert parameter["parameterType"] == "STRING"
        assert isinstance(parameter["defaultValue"], str)
        assert parameter["description"]


@each_pipeline
def test_every_task_runs_in_the_control_image_and_installs_nothing(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    assert "pip install" not in text
    assert package(name).images == {CONTROL_IMAGE}


def test_images_have_this_version_and_workers_run_the_trainer_image() -> None:
    assert CONTROL_IMAGE.endswith(f":{peerkd.__version__}")
    worker = pod_template_for(sample_order("s3://b/p"), ClusterConfig(), kind=PYTORCHJOB)["spec"]
    assert worker["containers"][0]["image"] == TRAINER_IMAGE


@each_pipeline
def test_the_file_contains_no_character_that_the_server_cannot_store(name: str) -> None:
    assert max(map(ord, (FOLDER / f"{name}.yaml").read_text())) <= 0xFFFF


@each_pipeline
def test_settings_of_an_author_on_a_task_apply_to_the_workers(name: str) -> None:
    _, component = last(name)
    fields = {each["field"]: each.get("applyToTask", False) for each in component["taskConfigPassthroughs"]}
    assert fields == {
        "RESOURCES": False,
        "KUBERNETES_TOLERATIONS": False,
        "KUBERNETES_NODE_SELECTOR": False,
        "KUBERNETES_AFFINITY": False,
        "KUBERNETES_VOLUMES": False,
        # Both have the variable, because the launcher opens the store too.
        "ENV": True,
    }
    kinds = {key: each["parameterType"] for key, each in component["inputDefinitions"]["parameters"].items()}
    assert kinds.pop("task_config") == "TASK_CONFIG"
    assert set(kinds.values()) == {"STRING"}


@each_pipeline
def test_our_own_pipelines_set_nothing_on_a_task_that_launches(name: str) -> None:
    executors = package(name).documents[0]["deploymentSpec"]["executors"]
    _, component = last(name)
    assert "resources" not in executors[component["executorLabel"]]["container"]


@each_pipeline
def test_placeholders_are_whole_values(name: str) -> None:
    """The server resolves no other placeholders, and inserts a value into a text without escaping it."""
    task, _ = last(name)
    assert task["inputs"]["parameters"]["run_id"] == {"runtimeValue": {"constant": RUN_ID}}
    text = (FOLDER / f"{name}.yaml").read_text()
    assert set(re.findall(r"\{\{\$\.[^}]*\}\}", text)) == {RUN_ID}


@each_pipeline
def test_the_last_task_receives_what_the_first_task_has_checked(name: str) -> None:
    """The server passes an output on unchanged, whatever a person has typed."""
    task, component = last(name)
    assert set(component["inputDefinitions"]["parameters"]) == {
        *("pipeline", "strategy", "config_json", "store", "launch", "run_id", "task_config")
    }
    parameters = task["inputs"]["parameters"]
    assert parameters["pipeline"] == {"runtimeValue": {"constant": name}}
    for parameter, output in (("config_json", "config"), ("launch", "launch")):
        origin = {"producerTask": FIRST[name], "outputParameterKey": output}
        assert parameters[parameter] == {"taskOutputParameter": origin}
    first = tasks(name)[FIRST[name]]["inputs"]["parameters"]
    for parameter in ("backend", "num_workers", "gpus", "cluster"):
        assert first[parameter] == {"componentInputParameter": parameter}


@each_pipeline
def test_every_task_receives_the_keys_of_the_store_but_also_starts_without_them(name: str) -> None:
    """A pod that requires a missing Secret would wait forever."""
    spec, platform = package(name).documents
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == set(spec["deploymentSpec"]["executors"])
    for executor in executors.values():
        (secret,) = executor["secretAsEnv"]
        (settings,) = executor["configMapAsEnv"]
        assert secret["optional"] is settings["optional"] is True
        assert {each["envVar"] for each in secret["keyToEnv"]} == {"PEERKD_S3_ACCESS_KEY", "PEERKD_S3_SECRET_KEY"}
        assert "PEERKD_S3_ENDPOINT" in {each["envVar"] for each in settings["keyToEnv"]}


@each_pipeline
def test_the_first_task_requests_resources_for_its_own_pod(name: str) -> None:
    executors = package(name).documents[0]["deploymentSpec"]["executors"]
    resources = executors[f"exec-{FIRST[name]}"]["container"]["resources"]
    assert {"resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit"} <= set(resources)


def test_tasks_receive_the_operators_settings_of_the_manifests() -> None:
    (settings,) = (
        executor["configMapAsEnv"]
        for executor in [
            package("pcl").documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{LAST}"]
        ]
    )
    kustomization = yaml.safe_load((FOLDER.parent / "manifests" / "base" / "kustomization.yaml").read_text())
    (generated,) = kustomization["configMapGenerator"]
    assert settings[0]["configMapName"] == generated["name"]
    assert set(generated["files"]) <= {each["configMapKey"] for each in settings[0]["keyToEnv"]}
