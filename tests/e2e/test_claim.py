"""A store on a PersistentVolumeClaim instead of S3, which the tasks of a pipeline and their workers mount.

The claim has the default storage class. With a class whose volumes only one node can mount, the cluster must have one
node.
"""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kfp_pods import run_as_pods
from tests.e2e.kind import SETTING
from tests.e2e.kubectl import apply, get, kubectl
from tests.e2e.studies import NAMESPACE, SHORT, Site, Study, trials_fingerprint

CLAIM, FOLDER = "peerkd-folder", "/mnt/peerkd"


@pytest.fixture(scope="module")
def claim(site: Site) -> Iterator[str]:
    """A claim that the lists of the admission policy contain."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": CLAIM, "namespace": NAMESPACE}
    apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    lists = get("configmap", "peerkd-admission", namespace=NAMESPACE)
    assert lists
    _allow(CLAIM)
    yield CLAIM
    _allow(lists["data"]["claims"])
    kubectl("delete", "persistentvolumeclaim", CLAIM, "-n", NAMESPACE, "--wait=false")


def _allow(claims: str) -> None:
    change = json.dumps({"data": {"claims": claims}})
    kubectl("patch", "configmap", "peerkd-admission", "-n", NAMESPACE, "--type=merge", "-p", change)


def test_a_pipeline_without_keys_keeps_its_store_on_a_claim(site: Site, claim: str, tmp_path: Path) -> None:
    here = Study(site, tmp_path, backend="local").run()
    assert here.returncode == 0, here.stdout
    settings = f"{SETTING} cpu_per_worker=500m memory_per_worker=1Gi shared_memory=128Mi"
    arguments = {
        "overrides": " ".join(SHORT),
        "store": f"{FOLDER}/{secrets.token_hex(4)}",
        "cluster": settings,
    }
    env = [
        {"name": "PEERKD_TRAINER_IMAGE", "value": site.trainer_image},
        {"name": "PEERKD_CLUSTER", "value": f"allowed: {{claims: [{claim}]}}"},
    ]
    first = run_as_pods(site, arguments, claim=(claim, FOLDER), env=env)
    assert trials_fingerprint(first["train-and-report"]) == trials_fingerprint(here.stdout)
    again = run_as_pods(site, arguments, claim=(claim, FOLDER), env=env)
    assert "distill_pairs: already done" in again["train-and-report"]
