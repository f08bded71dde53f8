"""Pools, flavours, quotas and priorities agree with each other, with the examples of pools, and with launched jobs."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from peerkd.launch.kubernetes.kinds import JOB_KINDS
from tests.manifests.built import MANIFESTS, build, build_here, of_kind

GPU = "nvidia.com/gpu"
Pool = tuple[str, Mapping[str, str], list[Mapping[str, str]], int]


def queues(overlay: str) -> list[Mapping[str, Any]]:
    return [queue["spec"] for queue in of_kind(build(overlay), "ClusterQueue").values()]


def shares(overlay: str, resource: str) -> dict[str, float]:
    """Return the share of a resource in each flavour, summed over the queues."""
    found: dict[str, float] = {}
    for queue in queues(overlay):
        for group in queue["resourceGroups"]:
            for flavor in group["flavors"]:
                (quota,) = (each["nominalQuota"] for each in flavor["resources"] if each["name"] == resource)
                found[flavor["name"]] = found.get(flavor["name"], 0) + float(quota)
    return found


def pools() -> Iterator[Pool]:
    """Yield the pools of the examples: name, labels, taints, and maximum number of GPUs."""
    for each in yaml.safe_load_all((MANIFESTS / "examples/karpenter/nodepools.yaml").read_text(encoding="utf-8")):
        if each["kind"] == "NodePool":
            template, limit = each["spec"]["template"], int(each["spec"]["limits"][GPU])
            name = each["metadata"]["name"]
            yield f"karpenter/{name}", template["metadata"]["labels"], template["spec"]["taints"], limit
    groups = yaml.safe_load((MANIFESTS / "examples/cluster-autoscaler/eksctl.yaml").read_text(encoding="utf-8"))
    for group in groups["nodeGroups"]:
        gpus = int(group["tags"][f"k8s.io/cluster-autoscaler/node-template/resources/{GPU}"]) * group["maxSize"]
        yield f"cluster-autoscaler/{group['name']}", group["labels"], group["taints"], gpus


POOLS = list(pools())


@pytest.mark.parametrize(("name", "labels", "taints", "num_gpus"), POOLS, ids=[pool[0] for pool in POOLS])
def test_the_nodes_of_a_pool_match_its_flavour(
    name: str, labels: Mapping[str, str], taints: list[Mapping[str, str]], num_gpus: int
) -> None:
    flavor = of_kind(build("overlays/gpu"), "ResourceFlavor")[name.rpartition("/")[2]]["spec"]
    assert flavor["nodeLabels"].items() <= labels.items()
    assert GPU in {taint["key"] for taint in taints}
    for taint in taints:
        assert any(_tolerates(each, taint) for each in flavor["tolerations"]), taint
    # The numbers must be equal: more GPUs would be idle, and with fewer, admitted jobs could not start.
    assert num_gpus == shares("overlays/gpu", GPU)[name.rpartition("/")[2]]


def _tolerates(toleration: Mapping[str, str], taint: Mapping[str, str]) -> bool:
    same = toleration.get("key") == taint["key"] and toleration.get("effect") in (None, taint["effect"])
    return same and (toleration.get("operator") == "Exists" or toleration.get("value") == taint["value"])


@pytest.mark.parametrize("group", range(2))
def test_an_empty_group_describes_its_nodes_to_the_autoscaler(group: int) -> None:
    text = (MANIFESTS / "examples/cluster-autoscaler/eksctl.yaml").read_text(encoding="utf-8")
    each = yaml.safe_load(text)["nodeGroups"][group]
    prefix = "k8s.io/cluster-autoscaler/node-template"
    told = {name.removeprefix(prefix): value for name, value in each["tags"].items() if name.startswith(prefix)}
    assert each["minSize"] == 0
    assert {f"/label/{name}": value for name, value in each["labels"].items()}.items() <= told.items()
    taints = {f"/taint/{each['key']}": f"{each['value']}:{each['effect']}" for each in each["taints"]}
    assert taints.items() <= told.items()


@pytest.mark.parametrize("overlay", ["overlays/gpu", "examples/team"])
def test_a_queue_lends_to_its_cohort_and_reclaims(overlay: str) -> None:
    for queue in queues(overlay):
        assert queue["cohortName"] == "gpu-pools"
        assert queue["preemption"]["reclaimWithinCohort"] == "Any"
        assert queue["preemption"]["withinClusterQueue"] == "LowerPriority"


@pytest.mark.parametrize("overlay", ["overlays/gpu", "examples/team"])
def test_a_queue_names_existing_flavours_and_all_resources_of_a_worker(overlay: str) -> None:
    flavors = set(of_kind(build("overlays/gpu"), "ResourceFlavor"))
    for queue in queues(overlay):
        for group in queue["resourceGroups"]:
            assert group["coveredResources"] == ["cpu", "memory", GPU]
            assert {flavor["name"] for flavor in group["flavors"]} <= flavors
            for flavor in group["flavors"]:
                assert [each["name"] for each in flavor["resources"]] == group["coveredResources"]


def test_jobs_without_gpus_do_not_use_nodes_with_gpus() -> None:
    (queue,) = queues("overlays/gpu")
    names = [flavor["name"] for flavor in queue["resourceGroups"][0]["flavors"]]
    assert names == ["peerkd-cpu", "peerkd-on-demand", "peerkd-spot"]
    assert shares("overlays/gpu", GPU)["peerkd-cpu"] == 0
    assert shares("overlays/gpu", "cpu")["peerkd-cpu"] > 0


def test_the_quota_of_the_namespace_covers_all_that_its_queue_can_admit() -> None:
    may_hold = int(of_kind(build("overlays/gpu"), "ResourceQuota")["peerkd"]["spec"]["hard"][f"requests.{GPU}"])
    own, other = shares("overlays/gpu", GPU), shares("examples/team", GPU)
    assert sum(own.values()) <= may_hold >= sum(own.values()) + sum(other.values())


def test_the_topology_belongs_to_all_pools_with_gpus_even_under_a_prefix(tmp_path: Path) -> None:
    chosen = [f"components/{name}" for name in ("kueue", "spot", "topology")]
    objects = build_here(tmp_path, {"resources": ["base"], "components": chosen, "namePrefix": "x-"})
    (topology,) = of_kind(objects, "Topology").values()
    levels = [each["nodeLabel"] for each in topology["spec"]["levels"]]
    assert (topology["metadata"]["name"], levels[-1]) == ("x-peerkd", "kubernetes.io/hostname")
    flavors = {name: each.get("spec", {}) for name, each in of_kind(objects, "ResourceFlavor").items()}
    named = {name: spec.get("topologyName") for name, spec in flavors.items()}
    assert named == {"x-peerkd-cpu": None, "x-peerkd-on-demand": "x-peerkd", "x-peerkd-spot": "x-peerkd"}
    # Kueue refuses a flavour with a topology and without labels.
    assert all(flavors[name]["nodeLabels"] for name, topology_name in named.items() if topology_name)
    # The level in the description is one of the levels.
    text = (MANIFESTS / "components/topology/kustomization.yaml").read_text(encoding="utf-8")
    assert re.findall(r"level: ([\w./-]+)", text) == [levels[1]]


def test_launchers_have_priority_over_training_even_without_a_class() -> None:
    classes = of_kind(build("base"), "PriorityClass")
    assert classes["peerkd-launcher"]["value"] > 0 > classes["peerkd-training"]["value"] >= -10
    assert not any(each.get("globalDefault") for each in classes.values())


def test_the_queue_has_three_priorities() -> None:
    found = of_kind(build("overlays/gpu"), "WorkloadPriorityClass")
    values = [found[f"peerkd-{level}"]["value"] for level in ("low", "normal", "high")]
    assert values == sorted(set(values))
    assert len(found) == 3


def test_kueue_manages_jobs_and_requeues_those_without_nodes() -> None:
    text = (MANIFESTS / "third-party/kueue/settings.yaml").read_text(encoding="utf-8")
    told = yaml.safe_load(yaml.safe_load(text)["data"]["controller_manager_config.yaml"])
    of_jobs = {f"{kind.resource.group}/{kind.name.lower()}" for kind in JOB_KINDS}
    assert of_jobs <= set(told["integrations"]["frameworks"])
    assert {"timeout", "recoveryTimeout"} <= set(told["waitForPodsReady"])
