"""The compiled pipelines respect the limits that were measured on Kubeflow Pipelines 2.17.0 (docs/cluster.md)."""

import re
from collections.abc import Iterator
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
LAUNCHED = {
    *("pretrain-peers", "distill-pairs", "tune-pairs", "improve-peers", "improve-peers-2", "train-pcl"),
    "collaborate-peers",
}
RUN_ID = "{{$.pipeline_job_uuid}}"
FIRST = {"jointkd": "partition-data", "pcl": "split-data", "collaborate": "partition-data"}

each_pipeline = pytest.mark.parametrize("name", NAMES)


def package(name: str) -> Package:
    return read_package(FOLDER / f"{name}.yaml")


def tasks(name: str) -> dict[str, Any]:
    """Return all tasks of a pipeline that run a component, including those of its branches."""
    spec = package(name).documents[0]

    def of(dag: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for key, task in dag["tasks"].items():
            component = spec["components"][task["componentRef"]["name"]]
            if "dag" in component:
                yield from of(component["dag"])
            else:
                yield key, task

    return dict(of(spec["root"]["dag"]))


def launched(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each task that launches a job, with its component."""
    components = package(name).documents[0]["components"]
    for task in tasks(name).values():
        if task["taskInfo"]["name"] in LAUNCHED:
            yield task, components[task["componentRef"]["name"]]


@each_pipeline
def test_a_run_has_at_most_six_tasks(name: str) -> None:
    """Each task takes about 20 seconds in addition to its work."""
    alternatives = {"tune-pairs", "improve-peers-2", "report-choices"}
    assert 0 < len(tasks(name)) - len(alternatives & tasks(name).keys()) <= 6


@each_pipeline
def test_the_server_shows_a_task_by_the_name_of_its_component(name: str) -> None:
    """The compiler numbers the second task of a component."""
    shown = {task["taskInfo"]["name"] for task in tasks(name).values()}
    assert [each for each in shown if each.rsplit("-", 1)[-1].isdigit()] == []


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
    for _, component in launched(name):
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
    for _, component in launched(name):
        assert "resources" not in executors[component["executorLabel"]]["container"]


@each_pipeline
def test_placeholders_are_whole_values(name: str) -> None:
    """The server resolves no other placeholders, and inserts a value into a text without escaping it."""
    for task, _ in launched(name):
        assert task["inputs"]["parameters"]["run_id"] == {"runtimeValue": {"constant": RUN_ID}}
        # The input would differ in every run, so KFP would never find a cached result.
        assert task["cachingOptions"] == {}
    text = (FOLDER / f"{name}.yaml").read_text()
    assert set(re.findall(r"\{\{\$\.[^}]*\}\}", text)) == {RUN_ID}


@each_pipeline
def test_every_launched_task_receives_the_launch_description_of_the_first_task(name: str) -> None:
    """The server passes an output on unchanged, whatever a person has typed."""
    for task, component in launched(name):
        assert set(component["inputDefinitions"]["parameters"]) == {
            *("config_json", "store", "launch", "run_id", "task_config")
        }
        (source,) = task["inputs"]["parameters"]["launch"].values()
        origin = source if isinstance(source, dict) else {"producerTask": FIRST[name], "outputParameterKey": "launch"}
        assert origin == {"producerTask": FIRST[name], "outputParameterKey": "launch"}
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
def test_data_tasks_request_resources_for_their_own_pods(name: str) -> None:
    executors = package(name).documents[0]["deploymentSpec"]["executors"]
    for task in set(tasks(name)) - LAUNCHED:
        resources = executors[f"exec-{task}"]["container"]["resources"]
        assert {"resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit"} <= set(resources)


def test_tasks_receive_the_operators_settings_of_the_manifests() -> None:
    (settings,) = (
        executor["configMapAsEnv"]
        for executor in [
            package("pcl").documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train-pcl"]
        ]
    )
    kustomization = yaml.safe_load((FOLDER.parent / "manifests" / "base" / "kustomization.yaml").read_text())
    (generated,) = kustomization["configMapGenerator"]
    assert settings[0]["configMapName"] == generated["name"]
    assert set(generated["files"]) <= {each["configMapKey"] for each in settings[0]["keyToEnv"]}
