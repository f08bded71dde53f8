"""Every overlay, component and example builds, and remains consistent if a site changes its names."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from components.images import CONTROL_IMAGE
from peerkd.config.cluster import ClusterConfig
from pipelines.pods import SETTINGS, SETTINGS_NAME, STORE_KEYS, STORE_SECRET_NAME
from tests.manifests.built import MANIFESTS, OVERLAYS, build, build_here, of_kind, settings, templates
from tests.manifests.restricted import breaches

COMPONENTS = sorted(path.name for path in (MANIFESTS / "components").iterdir() if path.is_dir())
AFTER = {"spot": ["kueue"], "topology": ["kueue"], "network-policies-external-s3": ["network-policies"]}
"""The components that another component requires."""

ROOT_SECRET_NAME = "peerkd-minio-root"

OPERATOR = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: training-operator, namespace: kubeflow}
spec:
  selector: {matchLabels: {control-plane: kubeflow-training-operator}}
  template:
    metadata: {labels: {control-plane: kubeflow-training-operator}}
    spec:
      containers:
        - name: training-operator
          image: ghcr.io/kubeflow/training-v1/training-operator
          securityContext: {allowPrivilegeEscalation: false}
          volumeMounts: [{mountPath: /tmp/k8s-webhook-server/serving-certs, name: cert, readOnly: true}]
      volumes: [{name: cert, secret: {secretName: training-operator-webhook-cert}}]
"""
KUSTOMIZATIONS = sorted(MANIFESTS.rglob("kustomization.yaml"))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_builds_and_names_no_object_twice(overlay: str) -> None:
    names = [
        (each["apiVersion"], each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in build(overlay)
    ]
    assert len(names) == len(set(names)) > 10


@pytest.mark.parametrize("component", [name for name in COMPONENTS if name != "restricted-operator"])
def test_every_component_builds_on_the_base(component: str, tmp_path: Path) -> None:
    chosen = [f"components/{name}" for name in (*AFTER.get(component, []), component)]
    assert build_here(tmp_path, {"resources": ["base"], "components": chosen}) != build("base")


def test_the_operator_has_a_template_and_few_rights(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    (tmp_path / "manifests" / "operator.yaml").write_text(OPERATOR, encoding="utf-8")
    site = {"resources": ["operator.yaml"], "components": ["components/restricted-operator"]}
    objects = build_here(tmp_path, site)
    (operator,) = templates(objects)
    assert list(breaches(operator.spec)) == []
    assert {volume["name"] for volume in operator.spec["volumes"]} == {"cert", "pytorch-init"}
    text = of_kind(objects, "ConfigMap")["pytorch-init"]["data"]["initContainer.yaml"]
    (container,) = yaml.safe_load(re.sub(r"{{\.\w+}}", "x", text))
    assert list(breaches({"containers": [container]})) == []
    assert re.findall(r"{{\.(\w+)}}", text) == ["InitContainerImage", "MaxTries", "MasterAddr"]


def test_a_prefix_is_added_to_every_name_and_reference(tmp_path: Path) -> None:
    chosen = [f"components/{name}" for name in ("minio", "kueue", "spot")]
    objects = build_here(tmp_path, {"resources": ["base"], "components": chosen, "namePrefix": "x-"})
    for binding in of_kind(objects, "RoleBinding").values():
        assert binding["roleRef"]["name"] in of_kind(objects, "Role")
        assert {each["name"] for each in binding["subjects"]} <= set(of_kind(objects, "ServiceAccount"))
    for template in templates(objects):
        assert template.spec["serviceAccountName"] in of_kind(objects, "ServiceAccount")
    (queue,) = of_kind(objects, "ClusterQueue").values()
    flavors = {flavor["name"] for group in queue["spec"]["resourceGroups"] for flavor in group["flavors"]}
    assert flavors == set(of_kind(objects, "ResourceFlavor"))
    assert all(name.startswith("x-") for name in flavors)


def test_an_existing_namespace_is_not_changed(tmp_path: Path) -> None:
    chosen = ["components/existing-namespace", "components/minio"]
    objects = build_here(tmp_path, {"namespace": "kubeflow", "resources": ["base"], "components": chosen})
    kinds = {each["kind"] for each in objects}
    assert kinds.isdisjoint({"Namespace", "LimitRange", "ResourceQuota"})
    placed = {each["metadata"].get("namespace") for each in objects if each["kind"] != "PriorityClass"}
    assert placed == {"kubeflow"}
    bound = {s["namespace"] for each in of_kind(objects, "RoleBinding").values() for s in each["subjects"]}
    assert bound == {"kubeflow"}


def test_a_team_has_a_namespace_and_a_queue_with_its_name() -> None:
    objects = build("examples/team")
    assert set(of_kind(objects, "Namespace")) == set(of_kind(objects, "LocalQueue")) == {"vision"}
    assert of_kind(objects, "LocalQueue")["vision"]["metadata"]["namespace"] == "vision"
    assert "namespace" not in of_kind(objects, "ClusterQueue")["vision"]["metadata"]


def cluster_of(overlay: str) -> ClusterConfig:
    return ClusterConfig.from_mapping(yaml.safe_load(settings(build(overlay))["cluster.yaml"]))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_settings_of_a_cluster_are_valid_and_name_existing_objects(overlay: str) -> None:
    objects, cluster = build(overlay), cluster_of(overlay)
    assert cluster.service_account in of_kind(objects, "ServiceAccount")
    assert cluster.priority_class in of_kind(objects, "PriorityClass")
    assert cluster.queue in {None, *of_kind(objects, "LocalQueue")}
    # Priority classes belong to the whole cluster, so a team has none of its own.
    assert cluster.priority in {None, *of_kind(build("overlays/gpu"), "WorkloadPriorityClass")}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pipelines_read_every_setting(overlay: str) -> None:
    assert SETTINGS_NAME == "peerkd"
    assert set(settings(build(overlay))) <= set(SETTINGS)


def test_the_store_inside_has_the_keys_that_pipelines_and_workers_use() -> None:
    used = [
        (variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"])
        for template in templates(build("overlays/kind"))
        for container in template.spec["containers"]
        for variable in container.get("env", [])
        if "secretKeyRef" in variable.get("valueFrom", {})
    ]
    assert set(used) == {(name, key) for name in (STORE_SECRET_NAME, ROOT_SECRET_NAME) for key in STORE_KEYS}
    assert ClusterConfig().store_secret == STORE_SECRET_NAME


def test_only_the_server_and_its_bucket_job_have_the_root_key() -> None:
    having = {
        template.name
        for template in templates(build("overlays/kind"))
        if f"'{ROOT_SECRET_NAME}'" in repr(template.spec)
    }
    assert having == {"Deployment/minio", "Job/peerkd-bucket"}
    lists = of_kind(build("overlays/kind"), "ConfigMap")["peerkd-admission"]["data"]
    assert ROOT_SECRET_NAME not in repr(lists)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_our_images_are_those_that_the_components_name(overlay: str) -> None:
    images = {c["image"] for each in templates(build(overlay)) for c in each.spec["containers"]}
    assert {image for image in images if "/peerkd/" in image} == {CONTROL_IMAGE}


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.relative_to(MANIFESTS).as_posix())
def test_a_kustomization_uses_no_deprecated_field(path: Path) -> None:
    given_up = {"commonLabels", "bases", "patchesStrategicMerge", "patchesJson6902", "vars", "imageTags"}
    assert set(yaml.safe_load(path.read_text(encoding="utf-8"))) & given_up == set()


def test_third_party_manifests_are_pinned_to_the_commit_of_a_release() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (MANIFESTS / "third-party").rglob("kustomization.yaml")]
    assert len(texts) == 5
    for text in texts:
        remotes = [each for each in yaml.safe_load(text)["resources"] if "://" in each]
        assert remotes
        for remote in remotes:
            # A commit is a checksum of its contents. A tag can be moved, and a file can be replaced.
            assert re.search(r"\.git(/[\w/-]+)?\?ref=[0-9a-f]{40}$", remote), remote
        assert re.search(r"commit of the release v\d+\.\d+\.\d+", text)


def test_every_file_of_the_manifests_is_used() -> None:
    named = set()
    for path in KUSTOMIZATIONS:
        text = path.read_text(encoding="utf-8")
        named |= {path, *((path.parent / each).resolve() for each in re.findall(r"[\w./-]+\.\w+", text))}
    monitoring = MANIFESTS / "components" / "monitoring"
    alone = {MANIFESTS / "README.md", *(MANIFESTS / "examples").glob("*/*.yaml")}
    files = {path for path in MANIFESTS.rglob("*") if path.is_file() and monitoring not in path.parents}
    assert files - named - alone == set()
