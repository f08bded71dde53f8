"""The objects that kustomize builds from the manifests."""

import functools
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
MANIFESTS: Final = ROOT / "manifests"
OVERLAYS: Final = ("base", "overlays/kind", "overlays/gpu", "examples/team")
"""Folders that can be built as they are, without a network."""

CLUSTER_KUBECTL: Final = Path.home() / ".cache" / "cluster" / "bin" / "kubectl"

Object = Mapping[str, Any]


class Template(NamedTuple):
    """The pod template of an object."""

    name: str
    spec: Mapping[str, Any]
    labels: Mapping[str, str]
    namespace: str


def kustomize() -> list[str]:
    """Return the command that builds a folder, or skip the test if none is installed."""
    if found := shutil.which("kustomize"):
        return [found, "build"]
    if found := shutil.which("kubectl") or (str(CLUSTER_KUBECTL) if CLUSTER_KUBECTL.is_file() else None):
        return [found, "kustomize"]
    pytest.skip("there is neither kustomize nor kubectl here")


def build_text(folder: Path) -> str:
    """Return the output of kustomize. An error of kustomize fails the test."""
    ended = subprocess.run([*kustomize(), str(folder)], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "deprecated" not in ended.stderr.lower(), ended.stderr
    return ended.stdout


@functools.cache
def build(overlay: str) -> tuple[Object, ...]:
    """Return the objects of a folder below manifests/."""
    return tuple(yaml.safe_load_all(build_text(MANIFESTS / overlay)))


def build_here(folder: Path, kustomization: Mapping[str, Any]) -> tuple[Object, ...]:
    """Return the objects of a kustomization that a site might write. Its paths are relative to manifests/."""
    # Kustomize requires relative paths, to files below the folder or to folders anywhere.
    site = folder / "manifests"
    if not site.exists():
        shutil.copytree(MANIFESTS, site)
    text = yaml.safe_dump({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **kustomization})
    (site / "kustomization.yaml").write_text(text, encoding="utf-8")
    return tuple(yaml.safe_load_all(build_text(site)))


def of_kind(objects: tuple[Object, ...], kind: str) -> dict[str, Object]:
    """Return the objects of a kind by name."""
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def templates(objects: tuple[Object, ...]) -> Iterator[Template]:
    """Yield every pod template in the objects."""
    for each in objects:
        if each["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            template = each["spec"]["template"]
            name = f"{each['kind']}/{each['metadata']['name']}"
            yield Template(name, template["spec"], template["metadata"]["labels"], each["metadata"]["namespace"])


def settings(objects: tuple[Object, ...]) -> Mapping[str, str]:
    """Return the ConfigMap that pipelines and workers use."""
    data: Mapping[str, str] = of_kind(objects, "ConfigMap")["peerkd"]["data"]
    return data
