"""Every command that the documents show works."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from peerkd.cli import run
from peerkd.cli.main import app
from peerkd.config.pipelines import COLLABORATE, JOINTKD, PCL, Pipeline
from peerkd.config.resolve import load_file, to_yaml
from peerkd.config.strict import StrictConfig
from peerkd.launch.runs.server import PipelineServer
from peerkd.stages import in_process
from tests.docs.cluster_commands import check_kfp, check_kubectl, check_peerkd
from tests.docs.pages import ROOT, blocks, name_of, pages, prose

LANGUAGES = {"sh", "text", "python", "yaml"}
"""The languages of blocks. Tests would not see the commands of a block in another language."""

PARSED = {"clean", "compare", "doctor", "export", "logs", "note", "open", "runs", "show", "stop", "submit", "watch"}
"""The commands of peerkd of which only the options are parsed, because they need a run, a cluster or a person."""

HOSPITALS_NAME, CAMERAS_NAME = "hospitals.yaml", "cameras.yaml"
"""The files of the page on own data. Their contents are the configs on that page."""


def commands() -> list[tuple[str, str]]:
    found = []
    for block in blocks():
        if block.language == "sh":
            lines = block.body.replace("\\\n", " ").splitlines()
            found += [(block.page, line.strip()) for line in lines if shlex.split(line, comments=True)]
    return found


def test_the_readme_shows_how_to_run_and_how_to_test() -> None:
    shown = [command for page, command in commands() if page == "README.md"]
    assert {"make run", "make test"} <= set(shown)


@pytest.mark.parametrize(("page", "command"), commands(), ids=lambda value: value)
def test_a_shown_command_works(page: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command, comments=True)
    pipeline = next((each for each in (PCL, COLLABORATE) if {each.name, f"PIPELINE={each.name}"} & set(words)), JOINTKD)
    words = [_with_contents(_filled_in(word, tmp_path, pipeline)) for word in words]
    if ">" in words:
        words = words[: words.index(">")]
    while re.match(r"[A-Z_0-9]+=", words[0]):
        words.pop(0)
    match words:
        case ["make", *arguments]:
            _check_make(arguments, pipeline, monkeypatch)
        case [".venv/bin/peerkd", "config", *arguments]:
            _peerkd(["config", *arguments], monkeypatch)
        case [".venv/bin/peerkd", "init", _, *arguments]:
            _peerkd(["init", str(tmp_path / "new"), *arguments], monkeypatch)
        case [".venv/bin/peerkd", "store", *arguments]:
            check_peerkd(["store", *arguments])
        case [".venv/bin/peerkd", "plan", *arguments]:
            _peerkd(["plan", *(word for word in arguments if word != "--no-measure"), "--no-measure"], monkeypatch)
        case [".venv/bin/peerkd", "run", *arguments]:
            _check_run(arguments, pipeline, monkeypatch)
        case [".venv/bin/pytest", *paths]:
            _call([sys.executable, "-m", "pytest", "--collect-only", "-qq", *paths])
        case [".venv/bin/python", "-m", module, *_]:
            _call([sys.executable, "-m", module, "--help"])
        case ["kubectl", *arguments]:
            check_kubectl(arguments)
        case [".venv/bin/peerkd", verb, *_] if verb in PARSED:
            check_peerkd(words[1:])
            if words[1] == "submit":
                _check_submit(words[1:], monkeypatch)
        case [".", file]:
            assert (ROOT / file).is_file()
        case ["kfp", "run", "submit" | "create", "-f", file, *arguments]:
            check_kfp(file, arguments)
        case _:
            pytest.fail(f"{page} shows a command of a kind that this test does not know: {command}")


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_make_target_named_in_a_sentence_exists(page: Path) -> None:
    named = set(re.findall(r"`make ([a-z0-9-]+)", prose(page)))
    assert named <= _targets()


@pytest.mark.parametrize("page", sorted({block.page for block in blocks()}))
def test_every_block_names_its_language(page: str) -> None:
    assert {block.language for block in blocks() if block.page == page} <= LANGUAGES


@pytest.mark.parametrize(("page", "text"), [(block.page, block.body) for block in blocks() if block.language == "yaml"])
def test_every_shown_config_is_valid(page: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Configs may name the module that docs/own-code.md shows.
    monkeypatch.syspath_prepend(ROOT / "docs" / "examples")
    path = tmp_path / "experiment.yaml"
    path.write_text(text, encoding="utf-8")
    has_rounds = "collaborate" in page or "rounds" in page
    pipeline = PCL if "pcl" in page else COLLABORATE if has_rounds else JOINTKD
    load_file(pipeline, path)


def _filled_in(word: str, folder: Path, pipeline: Pipeline[StrictConfig]) -> str:
    """Replace the placeholders by a folder and files that exist."""
    if re.search(r"\bFILE\b", word):
        file = folder / "experiment.yaml"
        file.write_text(to_yaml(pipeline.presets["digits"]()), encoding="utf-8")
        word = re.sub(r"\bFILE\b", str(file), word)
    if re.search(r"\bIMAGES\b", word):
        for index in range(180):
            image = folder / "images" / f"class {index % 3}" / f"{index}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), index).save(image)
        word = re.sub(r"\bIMAGES\b", str(folder / "images"), word)
    if re.search(r"\bARRAYS\b", word):
        arrays = folder / "arrays.npz"
        np.savez(arrays, images=np.zeros((300, 8, 8), np.uint8), labels=1 + np.arange(300) % 3)
        word = re.sub(r"\bARRAYS\b", str(arrays), word)
    if word == HOSPITALS_NAME:
        word = str(_write_hospitals(folder))
    if word == CAMERAS_NAME:
        word = str(_write_cameras(folder))
    return re.sub(r"\bFOLDER\b", str(folder), word.replace("s3://BUCKET", "s3://bucket"))


def _write_hospitals(folder: Path) -> Path:
    """Write the config that the page on own data shows, and a folder of images for each of its peers."""
    shown, config = _shown_config("hospitals"), folder / HOSPITALS_NAME
    config.write_text(shown.replace("data: images/", f"data: {folder}/images/"), encoding="utf-8")
    for peer in load_file(JOINTKD, config).peers.given:
        for index in range(48):
            image = Path(str(peer.data), ("melanoma", "naevus")[index % 2], f"{index}.jpg")
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 8), (index, 5 * index, len(peer.name))).save(image)
    return config


def _write_cameras(folder: Path) -> Path:
    """Write the config that the page on own data shows, a folder of images, and the file with the camera of each."""
    shown, config = _shown_config("cameras"), folder / CAMERAS_NAME
    owners, photos = folder / "owners.csv", folder / "photos"
    config.write_text(shown.replace("photos", str(photos)).replace("owners.csv", str(owners)), encoding="utf-8")
    rows = ["file_name,camera"]
    for index in range(240):
        image = photos / ("cat", "dog")[index % 2] / f"{index}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 8), (index, 7, 7)).save(image)
        rows.append(f"{image.parent.name}/{image.name},{('kitchen', 'garden', 'hall', 'shed')[index // 2 % 4]}")
    owners.write_text("\n".join(rows), encoding="utf-8")
    return config


def _shown_config(name: str) -> str:
    """Return the config of this name that the page on own data shows."""
    shown = (block.body for block in blocks() if block.page == "docs/own-data.md" and block.language == "yaml")
    (found,) = (body for body in shown if body.startswith(f"name: {name}\n"))
    return found


def _with_contents(word: str) -> str:
    """Replace ``$(cat FILE)`` by the content of the file, as a shell does."""
    return re.sub(r"\$\(cat (.+?)\)", lambda found: Path(found[1]).read_text(encoding="utf-8").rstrip("\n"), word)


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def _check_make(arguments: list[str], pipeline: Pipeline[StrictConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the targets. If one is a run, check everything that it does before it runs the pipeline."""
    targets = {word for word in arguments if "=" not in word}
    assert targets <= _targets()
    for line in _call(["make", "--dry-run", *arguments]).splitlines():
        if line.startswith(".venv/bin/peerkd run"):
            _check_run(shlex.split(line)[2:], pipeline, monkeypatch)


def _check_run(arguments: list[str], pipeline: Pipeline[StrictConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do everything that the command does before it runs the pipeline."""
    configs: list[str] = []

    class ReachedThePipeline(Exception):  # noqa: N818
        pass

    def run_pipeline(pipeline_file: Path, given: dict[str, str]) -> str:
        assert pipeline_file.is_file()
        configs.append(given["config_json"])
        raise ReachedThePipeline

    def run_in_process(config: StrictConfig, _store: str, *, strategy: str | None) -> str:
        assert strategy in (None, "sweep", "tune")
        configs.append(config.to_json())
        raise ReachedThePipeline

    monkeypatch.setattr(run, "run_pipeline", run_pipeline)
    monkeypatch.setattr(in_process, "run_in_process", run_in_process)
    # The store is opened before anything runs, although no request is sent to it.
    for name, value in (("ENDPOINT", "http://localhost:9000"), ("ACCESS_KEY", "key"), ("SECRET_KEY", "secret-key")):
        monkeypatch.setenv(f"PEERKD_S3_{name}", value)
    if "--dry-run" in arguments:
        _peerkd(["run", *arguments], monkeypatch)
        return
    result = CliRunner().invoke(app, ["run", *arguments])
    assert isinstance(result.exception, ReachedThePipeline), (result.output, result.exception)
    pipeline.config.from_json(configs[0])


def _check_submit(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do everything that the command does before it sends a request."""

    class ReachedTheServer(Exception):  # noqa: N818
        pass

    def submit(*_arguments: object, **_options: object) -> str:
        raise ReachedTheServer

    monkeypatch.setattr(PipelineServer, "submit", submit)
    monkeypatch.setenv("KFP_ENDPOINT", "http://localhost:8080")
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ReachedTheServer), (result.output, result.exception)


def _peerkd(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)


def _call(command: list[str]) -> str:
    # The variables of the `make test` that runs this test must not reach the command.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("ARGS", "MAKEFLAGS", "MAKEOVERRIDES")
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
