"""The admission policy applies wherever peerkd is installed. Its refusals are tested on a cluster (tests/e2e)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.kinds import JOB_KINDS
from pipelines.pods import STORE_SECRET_NAME
from tests.manifests.built import OVERLAYS, Object, build, build_here, of_kind, settings, templates

POLICY = "peerkd-workloads"
LISTS = "peerkd-admission"
BINDINGS = {POLICY, "peerkd-workloads-in-shared-namespaces", "peerkd-jobs-of-others"}


def policy(objects: tuple[Object, ...], name: str = POLICY) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(objects, "ValidatingAdmissionPolicy")[name]["spec"]
    return spec


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_namespace_of_peerkd_has_the_policy_and_the_lists(overlay: str) -> None:
    objects = build(overlay)
    bindings = of_kind(objects, "ValidatingAdmissionPolicyBinding")
    assert set(bindings) == BINDINGS
    assert all(each["spec"]["validationActions"] == ["Deny"] for each in bindings.values())
    bound = bindings[POLICY]["spec"]
    assert bound["paramRef"] == {"name": LISTS, "parameterNotFoundAction": "Deny"}
    selector = bound["matchResources"]["namespaceSelector"]["matchLabels"]
    lists = [each for each in objects if each["kind"] == "ConfigMap" and each["metadata"]["name"] == LISTS]
    for name, space in of_kind(objects, "Namespace").items():
        assert selector.items() <= space["metadata"]["labels"].items()
        assert name in {each["metadata"]["namespace"] for each in lists}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_failure_of_the_policy_is_a_refusal(overlay: str) -> None:
    for each in of_kind(build(overlay), "ValidatingAdmissionPolicy").values():
        assert each["spec"]["failurePolicy"] == "Fail"
        assert all(rule["reason"] == "Forbidden" for rule in each["spec"]["validations"])


def test_jobs_and_pods_are_checked_when_created_and_jobs_when_changed() -> None:
    rules = policy(build("base"))["matchConstraints"]["resourceRules"]
    checked = {
        (group, resource, operation)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for operation in rule["operations"]
    }
    assert checked == {("", "pods", "CREATE")} | {(*each, verb) for each in CREATED for verb in ("CREATE", "UPDATE")}


CREATED = {
    (each.resource.group, each.resource.plural)
    for kind in JOB_KINDS
    for each in kind.permissions
    if "create" in each.verbs
}
"""The resources that a launcher creates."""

FIELDS = (
    "serviceAccountName",
    "automountServiceAccountToken",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostPort",
    "nodeName",
    "hostPath",
    "persistentVolumeClaim.claimName",
    "secret.?secretName",
    "v.projected",
    "serviceAccountToken",
    "secretKeyRef",
    "secretRef",
    "imagePullSecrets",
    "runAsNonRoot",
    "runAsUser",
    "seccompProfile",
    "privileged",
    "allowPrivilegeEscalation",
    "capabilities.?drop",
    "capabilities.?add",
    "procMount",
    "hostProcess",
    "appArmorProfile",
    "seLinuxOptions",
    "sysctls",
    "httpGet.?host",
    "tcpSocket.?host",
    "variables.labelSets",
    "priorityClassName",
    "variables.images",
)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_that_gives_access_has_a_rule(field: str) -> None:
    assert any(field in rule["expression"] for rule in policy(build("base"))["validations"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_lists_contain_exactly_the_names_in_the_settings_of_workers(overlay: str) -> None:
    objects = build(overlay)
    lists = of_kind(objects, "ConfigMap")[LISTS]["data"]
    cluster = ClusterConfig.from_mapping(yaml.safe_load(settings(objects)["cluster.yaml"]))
    assert lists == {
        "worker-service-accounts": cluster.service_account,
        "worker-secrets": cluster.store_secret,
        "worker-priority-classes": cluster.priority_class,
        "worker-images": "",
        "task-service-accounts": "peerkd-launcher",
        "task-secrets": f"{STORE_SECRET_NAME} mlpipeline-minio-artifact",
        "claims": "",
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_run_may_choose_only_the_namespace_of_its_launcher(overlay: str) -> None:
    cluster = ClusterConfig.from_mapping(yaml.safe_load(settings(build(overlay))["cluster.yaml"]))
    assert (cluster.namespace, cluster.allowed.namespaces) == (None, ())


def test_the_policy_selects_workers_by_label_and_no_other_pod_of_the_manifests() -> None:
    (condition, _) = policy(build("base"))["matchConditions"]
    assert all(kind.job_label in condition["expression"] for kind in JOB_KINDS)
    assert f"'{names.LABEL_COMPONENT}'].orValue('') == '{names.OUR_LABELS[names.LABEL_COMPONENT]}'" in repr(condition)
    for template in templates(build("overlays/kind")):
        assert template.labels[names.LABEL_COMPONENT] != names.OUR_LABELS[names.LABEL_COMPONENT], template.name


def test_launcher_and_reaper_may_change_jobs_with_the_label_of_launchers() -> None:
    kept = policy(build("base"), "peerkd-jobs-of-others")
    assert f"'{names.LABEL_MANAGED_BY}'" in kept["validations"][0]["expression"]
    assert f"'{names.OUR_LABELS[names.LABEL_MANAGED_BY]}'" in kept["validations"][0]["expression"]
    rules = kept["matchConstraints"]["resourceRules"]
    assert all({"UPDATE", "DELETE"} == set(rule["operations"]) for rule in rules)
    assert {(rule["apiGroups"][0], resource) for rule in rules for resource in rule["resources"]} == CREATED


def test_a_shared_namespace_has_the_policy_and_the_lists_too(tmp_path: Path) -> None:
    site = {"namespace": "kubeflow", "resources": ["base"], "components": ["components/existing-namespace"]}
    objects = build_here(tmp_path, site)
    assert of_kind(objects, "ConfigMap")[LISTS]["metadata"]["namespace"] == "kubeflow"
    assert policy(objects) == policy(build("base"))
    shared = of_kind(objects, "ValidatingAdmissionPolicyBinding")["peerkd-workloads-in-shared-namespaces"]["spec"]
    # This is every namespace that the other binding excludes.
    (outside,) = shared["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert outside == {"key": "peerkd.io/admission", "operator": "NotIn", "values": ["enforced"]}


def test_a_prefix_changes_the_policy_name_in_its_binding_too(tmp_path: Path) -> None:
    objects = build_here(tmp_path, {"resources": ["base"], "namePrefix": "x-"})
    for binding in of_kind(objects, "ValidatingAdmissionPolicyBinding").values():
        assert binding["spec"]["policyName"] in of_kind(objects, "ValidatingAdmissionPolicy")
