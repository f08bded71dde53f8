"""The contents of the images: the part of the lock that each plane needs, and the list of all images."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from components.images import CONTROL_IMAGE, TRAINER_IMAGE
from tests.manifests.built import MANIFESTS, OVERLAYS, ROOT, build, templates

IMAGES = ROOT / "images"
EXTRAS = {
    "control": {"pipeline", "report", "cluster", "s3", "metrics", "data"},
    "trainer": {"train", "s3", "metrics"},
}
FORBIDDEN = {
    "control": {"torch", "torchvision", "triton", "uv", "pytest"},
    "trainer": {"kfp", "kubernetes", "kubeflow-training", "uv", "pytest"},
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def blocks(path: Path) -> dict[str, list[str]]:
    """Return the lines of a lock by package and version, each with its hashes."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            found[list(found)[-1]].append(line.strip(" \\"))
        else:
            found[line.rstrip(" \\")] = []
    return found


def packages(path: Path) -> set[str]:
    return {line.split("==")[0] for line in blocks(path)}


def wanted_by(requirements: list[str]) -> set[str]:
    """Return all packages that requirements need on this machine, and what those need."""
    queue = [(Requirement(each), frozenset[str]()) for each in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while queue:
        requirement, extras = queue.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": each}) for each in (*extras, "")):
            continue
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        asked = frozenset(requirement.extras)
        if (name, asked) not in seen:
            seen.add((name, asked))
            queue += [(Requirement(each), asked) for each in metadata.requires(name) or []]
    return {name for name, _ in seen}


def direct(image: str) -> list[str]:
    extras = PROJECT["optional-dependencies"]
    return [*PROJECT["dependencies"], *(each for extra in EXTRAS[image] for each in extras[extra])]


@pytest.mark.parametrize("image", EXTRAS)
def test_the_requirements_of_an_image_are_part_of_the_lock_with_hashes(image: str) -> None:
    whole, part = blocks(ROOT / "requirements.lock"), blocks(IMAGES / image / "requirements.txt")
    # Only the lock's own condition may be wider, since other extras need a package on more platforms.
    pinned = {line.partition(" ;")[0]: hashes for line, hashes in whole.items()}
    assert {line for line, hashes in part.items() if pinned.get(line.partition(" ;")[0]) != hashes} == set()
    assert all(hashes and all(each.startswith("--hash=sha256:") for each in hashes) for hashes in part.values())


@pytest.mark.parametrize("image", EXTRAS)
def test_an_image_has_all_packages_that_its_extras_need(image: str) -> None:
    assert wanted_by(direct(image)) - packages(IMAGES / image / "requirements.txt") == set()


@pytest.mark.parametrize("image", EXTRAS)
def test_an_image_has_no_package_of_the_other_plane(image: str) -> None:
    assert packages(IMAGES / image / "requirements.txt") & FORBIDDEN[image] == set()


@pytest.mark.parametrize("image", EXTRAS)
def test_make_lock_uses_the_extras_of_these_tests(image: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^{image.upper()} := (.*)$", makefile, re.MULTILINE)
    assert set(re.findall(r"--extra (\w+)", line)) == EXTRAS[image]


@pytest.mark.parametrize("path", sorted(IMAGES.rglob("*.txt")), ids=lambda path: path.relative_to(IMAGES).as_posix())
def test_no_lock_names_an_address(path: Path) -> None:
    assert "://" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("image", EXTRAS)
def test_the_last_stage_is_small_and_has_a_numeric_user(image: str) -> None:
    text = (IMAGES / image / "Containerfile").read_text(encoding="utf-8")
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    # Other stages use the same base or each other, so Python is the same.
    assert {stage.split()[0] for stage in stages} <= {"${BASE_IMAGE}", "dependencies", "package"}
    last = stages[-1]
    assert last.startswith("${BASE_IMAGE}\n")
    assert "RUN" not in re.findall(r"^([A-Z]+)", last, re.MULTILINE)
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "PYTHONDONTWRITEBYTECODE=1" in last
    assert "HOME=/tmp" in last


@pytest.mark.parametrize("image", EXTRAS)
def test_a_new_commit_does_not_copy_the_dependencies_again(image: str) -> None:
    """A builder executes again whatever follows a changed argument, such as the revision."""
    last = (IMAGES / image / "Containerfile").read_text(encoding="utf-8").rpartition("FROM ${BASE_IMAGE}\n")[2]
    before, _, after = last.partition("COPY --from=dependencies ")
    assert after
    assert re.findall(r"^[A-Z]+", before, re.MULTILINE) == []


def test_the_control_image_names_the_trainer_that_it_launches() -> None:
    text = (IMAGES / "control" / "Containerfile").read_text(encoding="utf-8")
    assert f"ARG TRAINER_IMAGE={TRAINER_IMAGE}\n" in text
    assert "PEERKD_TRAINER_IMAGE=${TRAINER_IMAGE}" in text


def test_the_list_of_images_is_complete() -> None:
    lines = (IMAGES / "all-images.txt").read_text(encoding="utf-8").splitlines()
    listed = {line for line in lines if not line.startswith("#")}
    used = {CONTROL_IMAGE, TRAINER_IMAGE}
    for overlay in OVERLAYS:
        used |= {container["image"] for each in templates(build(overlay)) for container in each.spec["containers"]}
    for path in (MANIFESTS / "third-party").rglob("kustomization.yaml"):
        for each in yaml.safe_load(path.read_text(encoding="utf-8"))["images"]:
            used.add(f"{each.get('newName', each['name'])}:{each['newTag']}")
    for image in EXTRAS:
        text = (IMAGES / image / "Containerfile").read_text(encoding="utf-8")
        used |= set(re.findall(r"^ARG BASE_IMAGE=(.*)$", text, re.MULTILINE))
    patch = (MANIFESTS / "components/restricted-operator/operator.yaml").read_text(encoding="utf-8")
    used |= set(re.findall(r"--pytorch-init-container-image=([^\s,\]]+)", patch))
    assert listed == used


def test_images_of_others_are_pinned_by_digest_unless_their_release_names_only_a_tag() -> None:
    text = (IMAGES / "all-images.txt").read_text(encoding="utf-8")
    *_, pinned, by_tag = re.split(r"^# (?=By )", text, flags=re.MULTILINE)
    assert pinned.startswith("By digest")
    assert by_tag.startswith("By tag")
    for line in (each for each in pinned.splitlines()[1:] if not each.startswith("#")):
        assert re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", line), line
    third = (MANIFESTS / "third-party").rglob("kustomization.yaml")
    num_by_tag = sum(not each.startswith("#") for each in by_tag.splitlines()[1:])
    assert num_by_tag == len(list(third))


def test_the_page_of_licences_lists_every_locked_package_with_its_licence() -> None:
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    listed = {(name, version): (licence, images) for name, version, licence, images in rows[1:]}
    assert {f"{name}=={version}" for name, version in listed} == {
        line.partition(";")[0].strip() for line in blocks(ROOT / "requirements.lock")
    }
    for (name, _), (licence, images) in listed.items():
        assert licence, name
        assert images == ", ".join(image for image in EXTRAS if name in packages(IMAGES / image / "requirements.txt"))


@pytest.mark.skipif(sys.platform != "linux", reason="the page is written where the lock's packages for Linux are")
def test_the_page_of_licences_agrees_with_the_installed_packages() -> None:
    written = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(IMAGES / "licences.py"))["page"]() == written, "run `make licences`"


def test_the_builder_receives_commit_and_version_and_returns_the_installed_packages(tmp_path: Path) -> None:
    """A substitute for docker records its arguments."""
    site = tmp_path / "site"
    shutil.copytree(IMAGES, site / "images")
    shutil.copy(ROOT / "pyproject.toml", site)
    (site / "dist").mkdir()
    (site / "dist" / "peerkd-0.1.0-py3-none-any.whl").touch()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(site)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "images"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "x"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    docker = tmp_path / "docker"
    docker.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ "$1" = run ] && echo {{}} || true\n', encoding="utf-8"
    )
    docker.chmod(0o755)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "BUILDER": str(docker), "REGISTRY": "r.example/p", "BASE_IMAGE": "b@sha256:1"}
        environment.pop("TAG", None)
        command = [str(site / "images" / "build"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    ended = run("control", "--network", "host")
    assert ended.returncode == 0, ended.stderr
    asked, shown = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    tag = f"r.example/p/peerkd-control:{commit[:12]}"
    for part in (
        f"--tag {tag}",
        f"--tag r.example/p/peerkd-control:{PROJECT['version']}",
        f"--build-arg REVISION={commit}",
        "--build-arg BASE_IMAGE=b@sha256:1",
        f"--build-arg TRAINER_IMAGE=r.example/p/peerkd-trainer:{commit[:12]}",
        "--network host",
    ):
        assert part in asked
    assert shown.startswith(f"run --rm {tag} cat")
    assert json.loads((site / "dist/images/control.cdx.json").read_text(encoding="utf-8")) == {}

    (site / "images" / "all-images.txt").write_text("changed", encoding="utf-8")
    assert f"{commit[:12]}-changed" in run("control").stdout
    (site / "dist" / "another.whl").touch()
    ended = run("control")
    assert ended.returncode == 2
    assert "dist/ must contain one wheel" in ended.stderr
    assert "usage" in run().stderr
