"""Linters of other projects find nothing, without exceptions. Each is used if it is installed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.manifests.built import OVERLAYS, Object, build, of_kind
from tests.manifests.schemas import write_schemas


def find(program: str) -> str:
    beside = Path.home() / "go" / "bin" / program
    found = shutil.which(program) or (str(beside) if beside.is_file() else None)
    if found is None:
        pytest.skip(f"there is no {program} here")
    return found


def write(objects: tuple[Object, ...], folder: Path) -> Path:
    path = folder / "objects.yaml"
    path.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    return path


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kube_linter_finds_nothing(overlay: str, tmp_path: Path) -> None:
    path = write(build(overlay), tmp_path)
    command = [find("kube-linter"), "lint", "--format", "json", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    said = json.loads(ended.stdout)
    assert [(each["Check"], each["Object"]["K8sObject"]["Name"]) for each in said["Reports"] or []] == []
    assert len(said["Checks"]) > 15


def test_kube_linter_reports_a_pod_without_limits(tmp_path: Path) -> None:
    reaper = json.loads(json.dumps(of_kind(build("base"), "Deployment")["peerkd-reaper"]))
    del reaper["spec"]["template"]["spec"]["containers"][0]["resources"]
    path = write((reaper,), tmp_path)
    command = [find("kube-linter"), "lint", "--format", "json", str(path)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=300, check=False).stdout)
    assert {"unset-cpu-requirements", "unset-memory-requirements"} <= {each["Check"] for each in said["Reports"]}


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a schema for each kind of the cluster."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster whose schemas to use")
    folder = tmp_path_factory.mktemp("schemas")
    said = subprocess.run(
        [find("kubectl"), "get", "--raw", "/openapi/v2"], capture_output=True, text=True, timeout=120, check=True
    )
    assert write_schemas(json.loads(said.stdout), folder) > 100
    return folder


def conform(objects: tuple[Object, ...], folder: Path, schemas: Path) -> dict[str, str]:
    """Return the errors that kubeconform reports, by kind and name of the object."""
    location = f"{schemas}/{{{{ .Group }}}}_{{{{ .ResourceAPIVersion }}}}_{{{{ .ResourceKind }}}}.json"
    core = f"{schemas}/{{{{ .ResourceAPIVersion }}}}_{{{{ .ResourceKind }}}}.json"
    command = [
        find("kubeconform"),
        "-strict",
        "-output",
        "json",
        "-schema-location",
        location,
        "-schema-location",
        core,
    ]
    ended = subprocess.run(
        [*command, str(write(objects, folder))], capture_output=True, text=True, timeout=300, check=False
    )
    return {f"{each['kind']}/{each['name']}": each["msg"] for each in json.loads(ended.stdout)["resources"]}


@pytest.mark.cluster
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubeconform_finds_nothing_with_the_schemas_of_the_cluster(overlay: str, tmp_path: Path, schemas: Path) -> None:
    known = {"", *(path.name.split("_")[0] for path in schemas.glob("*_*_*.json"))}
    objects = tuple(each for each in build(overlay) if each["apiVersion"].rpartition("/")[0] in known)
    assert len(objects) > 10
    assert conform(objects, tmp_path, schemas) == {}


@pytest.mark.cluster
def test_kubeconform_reports_a_misspelt_field(tmp_path: Path, schemas: Path) -> None:
    reaper = json.loads(json.dumps(of_kind(build("base"), "Deployment")["peerkd-reaper"]))
    reaper["spec"]["template"]["spec"]["serviceAcountName"] = "x"
    assert "serviceAcountName" in conform((reaper,), tmp_path, schemas)["Deployment/peerkd-reaper"]
