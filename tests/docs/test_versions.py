"""The page of versions agrees with the manifests, pyproject.toml and the lock, and other pages agree with it."""

import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from peerkd.launch.kubernetes.kinds import JOB_KINDS, PYTORCHJOB, TRAINJOB
from tests.docs.pages import ROOT, name_of, pages

PAGE = ROOT / "docs" / "versions.md"
MANIFESTS = ROOT / "manifests"
PINNED = {
    "training operator": "training-operator",
    "Kubeflow Trainer": "trainer",
    "JobSet": "jobset",
    "Kueue": "kueue",
    "Prometheus operator": "prometheus-operator",
}
"""The folders below manifests/third-party."""

IMAGES = {"MinIO": "components/minio/server.yaml", "Pushgateway": "components/monitoring/pushgateway.yaml"}
"""The manifests whose first image is the software."""

NOT_INSTALLED = {"Kubernetes", "Kubeflow Pipelines", "Argo Workflows"}
CONTROLLERS = {PYTORCHJOB.name: "training operator", TRAINJOB.name: "Kubeflow Trainer"}
SPOKEN = {
    "Kubernetes": "Kubernetes",
    "Kubeflow Pipelines": "Kubeflow Pipelines",
    "[Tt]raining operator": "training operator",
    "Kubeflow Trainer": "Kubeflow Trainer",
    "(?<!Kubeflow )Trainer": "Kubeflow Trainer",
    "JobSet": "JobSet",
    "Kueue": "Kueue",
}
"""Patterns of the names in prose, each with the name in the table."""

HISTORIES = ("CHANGELOG.md", "docs/decisions/", "docs/results/", "docs/versions.md")
"""Pages that tell which version had which property at their time."""


def table(header: str) -> dict[str, list[str]]:
    """Return the cells of the table whose header begins with a word, by the first cell of each row."""
    text = PAGE.read_text(encoding="utf-8")
    body = re.findall(rf"^\| {header} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in body.splitlines()]
    return {row[0]: row[1:] for row in rows}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def installed(software: str) -> str:
    """Return the version that the manifests install."""
    if software in PINNED:
        text = (MANIFESTS / "third-party" / PINNED[software] / "kustomization.yaml").read_text(encoding="utf-8")
        (version,) = re.findall(r"commit of the release v([\d.]+\d)", text)
        return version
    text = (MANIFESTS / IMAGES[software]).read_text(encoding="utf-8")
    return re.findall(r"image: [^\s:]+:v?([\w.-]+)@", text)[0]


def agrees(spoken: str, tested: str) -> bool:
    """Return whether a version, possibly without its last parts, is the one that is tested."""
    return f"{tested}.".startswith(f"{spoken}.")


@pytest.mark.parametrize("software", [*PINNED, *IMAGES])
def test_the_page_has_the_version_that_the_manifests_install(software: str) -> None:
    assert table("Software")[software][0] == installed(software)


def test_the_page_lists_all_software_that_the_manifests_install() -> None:
    folders = {path.parent.name for path in (MANIFESTS / "third-party").rglob("kustomization.yaml")}
    assert set(PINNED.values()) == folders
    listed = table("Software")
    assert set(listed) == {*PINNED, *IMAGES, *NOT_INSTALLED}
    assert {name for name, cells in listed.items() if cells[0] == "none"} == NOT_INSTALLED


def test_the_tags_of_third_party_images_are_those_of_the_release() -> None:
    for software, folder in PINNED.items():
        made = yaml.safe_load((MANIFESTS / "third-party" / folder / "kustomization.yaml").read_text(encoding="utf-8"))
        (tag,) = (image["newTag"] for image in made["images"])
        # The release of the training operator names its image by a commit.
        assert tag == f"v{installed(software)}" or (software, tag[:3]) == ("training operator", "v1-")


@pytest.mark.parametrize(("software", "cells"), table("Software").items(), ids=table("Software"))
def test_a_version_on_a_cluster_is_told_by_the_page_that_it_links_to(software: str, cells: list[str]) -> None:
    said = cells[1]
    if said.startswith("no"):
        return
    found = re.fullmatch(r"\[([\d.]+)\]\(([^)#]+)(?:#[^)]*)?\)", said)
    assert found is not None, said
    told = (PAGE.parent / found[2]).read_text(encoding="utf-8")
    assert re.search(rf"(?<![\d.]){re.escape(found[1])}(?![\d.]*\d)", told)


@pytest.mark.parametrize("kind", JOB_KINDS, ids=lambda kind: kind.name)
def test_doctor_accepts_the_version_that_the_manifests_install(kind: Any) -> None:
    version = installed(CONTROLLERS[kind.name])
    assert agrees(".".join(map(str, kind.controller.min_version)), version)


def test_the_page_has_the_ranges_of_pyproject_and_the_versions_of_the_lock() -> None:
    metadata = project()
    extras = metadata["optional-dependencies"].values()
    required = [Requirement(each) for each in [*metadata["dependencies"], *chain.from_iterable(extras)]]
    ranges = {each.name: set(str(each.specifier).split(",")) for each in required}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w-]+)==([^\s;\\]+)", lock, re.MULTILINE))
    containerfile = (ROOT / "images" / "trainer" / "Containerfile").read_text(encoding="utf-8")
    (python,) = set(re.findall(r"library/python:([\d.]+)-", containerfile))
    expected = {"Python": ({metadata["requires-python"]}, python)}
    expected |= {name: (ranges[name], locked[name]) for name in table("Package") if name != "Python"}
    assert {name: (set(cells[0].split(",")), cells[1]) for name, cells in table("Package").items()} == expected


def test_the_page_lists_the_clients_of_all_services() -> None:
    extras = project()["optional-dependencies"]
    clients = [each for extra in ("pipeline", "cluster", "s3", "metrics") for each in extras[extra]]
    assert {re.split(r"[<>=]", each)[0] for each in clients} <= set(table("Package"))


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.yaml")), ids=lambda path: path.name)
def test_pipelines_are_compiled_by_the_version_of_the_page(path: Path) -> None:
    (version,) = re.findall(r"^sdkVersion: kfp-(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert version == table("Package")["kfp"][1]


def other_versions(text: str) -> list[str]:
    """Return the versions in a text that are neither installed nor tested on a cluster, with the names before them."""
    found = []
    for pattern, software in SPOKEN.items():
        # A minimum is no statement about what is tested.
        for name, spoken in re.findall(rf"({pattern})\s+(\d+\.[\d.]*\d)(?!\d|\s+or\s+(?:later|newer))", text):
            known = re.findall(r"\d+\.[\d.]*\d", " ".join(table("Software")[software][:2]))
            if not any(agrees(spoken, each) for each in known):
                found.append(f"{name} {spoken}")
    return found


def test_no_other_page_names_another_version() -> None:
    living = [page for page in pages() if not name_of(page).startswith(HISTORIES)]
    found = {name_of(page): other_versions(page.read_text(encoding="utf-8")) for page in living}
    assert {name: versions for name, versions in found.items() if versions} == {}


def test_another_version_is_found() -> None:
    assert other_versions("It needs Kueue 0.18, Kueue 0.19 and\nKubernetes 1.30 or later.") == ["Kueue 0.18"]
    assert other_versions("the Trainer 2.30") == ["Trainer 2.30"]
