"""Tests on a real cluster, which KUBECONFIG names, in a separate namespace that enforces ``restricted``.

The images must be available on the nodes of the cluster; ``make images`` builds them.

``make e2e`` runs these tests; ``make test`` does not use a cluster. PEERKD_E2E_CONTROL_IMAGE, PEERKD_E2E_TRAINER_IMAGE
and PEERKD_E2E_MINIO_IMAGE replace the images that the manifests name. PEERKD_E2E_PATIENCE=3 multiplies the time limits
of whole runs by 3, for a busy machine.
"""

import json
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.images import CONTROL_IMAGE, TRAINER_IMAGE
from tests.e2e import kubectl as kube
from tests.e2e.studies import NAMESPACE, Site

ROOT = Path(__file__).parents[2]
MINIO_IMAGE = "quay.io/minio/minio"
WORKER_SECRETS = "peerkd-store wrong-keys no-such-secret"


# A process in the background of a script ignores interrupts, and its child processes would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = _missing()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def _missing() -> str:
    if not os.environ.get("PEERKD_E2E"):
        return "changes a cluster: only with make e2e"
    if not os.environ.get("KUBECONFIG"):
        return "no cluster: KUBECONFIG is not set"
    return "" if kube.find() else "no kubectl"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The shipped overlay for small clusters, installed as an operator would, with a store inside the cluster."""
    images = {
        CONTROL_IMAGE: os.environ.get("PEERKD_E2E_CONTROL_IMAGE", CONTROL_IMAGE),
        TRAINER_IMAGE: os.environ.get("PEERKD_E2E_TRAINER_IMAGE", TRAINER_IMAGE),
        MINIO_IMAGE: os.environ.get("PEERKD_E2E_MINIO_IMAGE", ""),
    }
    keys = {"access-key": "e2e-access", "secret-key": secrets.token_hex(16)}
    root_keys = {"access-key": "e2e-root", "secret-key": secrets.token_hex(16)}
    kube.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait", timeout_seconds=180)
    kube.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        *(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "stringData": content,
            }
            for name, content in (("peerkd-store", keys), ("peerkd-minio-root", root_keys))
        ),
    )
    folder = tmp_path_factory.mktemp("overlay")
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": [os.path.relpath(ROOT / "manifests/overlays/kind", folder.resolve())],
        # Secrets that tests give to workers.
        "patches": [
            {
                "target": {"kind": "ConfigMap", "name": "peerkd-admission"},
                "patch": json.dumps([{"op": "replace", "path": "/data/worker-secrets", "value": WORKER_SECRETS}]),
            }
        ],
        "images": [
            dict(zip(("name", "newName", "newTag"), (name.rpartition(":")[0] or name, *_split(image)), strict=True))
            for name, image in images.items()
            if image
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    kube.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(folder))
    kube.kubectl("rollout", "status", "deployment/minio", "-n", NAMESPACE, "--timeout=180s", timeout_seconds=200)
    kube.kubectl(
        "wait", "job/peerkd-bucket", "-n", NAMESPACE, "--for=condition=complete", "--timeout=180s", timeout_seconds=200
    )
    kube.kubectl("rollout", "status", "deployment/peerkd-reaper", "-n", NAMESPACE, "--timeout=120s")
    service = kube.get("service", "minio", namespace=NAMESPACE)
    assert service
    yield Site(
        endpoint=f"http://{service['spec']['clusterIP']}:9000",
        access_key=keys["access-key"],
        secret_key=keys["secret-key"],
        control_image=images[CONTROL_IMAGE],
        trainer_image=images[TRAINER_IMAGE],
    )
    if not os.environ.get("PEERKD_E2E_KEEP"):
        kube.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def _split(image: str) -> tuple[str, str]:
    name, _, tag = image.rpartition(":")
    return (name, tag) if name and "/" not in tag else (image, "latest")
