"""Every experiment that the command writes can be planned by the commands that it prints."""

import re
import shlex
from pathlib import Path

import pytest

from peerkd.cli import init
from peerkd.cli.init import CONFIG_NAME, README_NAME, TEMPLATES, commands_of
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import load_file

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("kind", TEMPLATES)
def test_what_is_written_can_be_planned(peerkd, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = peerkd("init", "mine", "--for", kind)
    assert (outcome.exit_code, outcome.err) == (0, "")
    plan, run, show = commands_of(TEMPLATES[kind])
    assert outcome.out.endswith(f"    cd mine\n    {plan}\n    {run}\n")
    folder = tmp_path / "mine"
    readme = (folder / README_NAME).read_text()
    assert re.findall(r"^(?:PYTHONPATH=\. )?peerkd .+$", readme, re.MULTILINE) == [plan, run, show]
    assert all(len(line) <= 120 for line in (folder / CONFIG_NAME).read_text().splitlines())
    if kind == "hospitals":
        # The images are missing. tests/docs/test_commands.py plans this config with images, from the page on own data.
        assert "images/hospital-a" in readme
        return
    monkeypatch.chdir(folder)
    words = shlex.split(plan)
    if words[0] == "PYTHONPATH=.":
        monkeypatch.syspath_prepend(folder)
        words.pop(0)
    planned = peerkd(*words[1:], "--no-measure")
    assert (planned.exit_code, planned.err) == (0, "")
    assert "training samples" in planned.out


def test_a_folder_with_files_is_left_alone(peerkd, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert peerkd("init", "mine").exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    for folder in ("mine", "mine/README.md"):
        outcome = peerkd("init", folder, "--for", "rounds")
        assert (outcome.exit_code, outcome.err) == (
            2,
            f"peerkd: FOLDER must be a new or an empty folder, got {folder}.\n",
        )
    assert {path: path.read_bytes() for path in (tmp_path / "mine").iterdir()} == before
    assert "for must be one of digits, hospitals" in peerkd("init", "other", "--for", "hospital").err
    assert not (tmp_path / "other").exists()


def test_an_installed_package_writes_its_own_files(peerkd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site-packages"
    # The second folder is that of another package.
    for folder, text in ((site / "peerkd" / "examples", "ours"), (site / "docs" / "examples", "theirs")):
        folder.mkdir(parents=True)
        (folder / "digits.yaml").write_text(text)
    monkeypatch.setattr(init, "__file__", str(site / "peerkd" / "cli" / "init.py"))
    outcome = peerkd("init", "my study")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert "    cd 'my study'\n" in outcome.out
    assert (tmp_path / "my study" / CONFIG_NAME).read_text() == "ours"


def test_the_config_for_hospitals_is_that_of_the_page_about_own_data(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(name: hospitals\n.+?)```", (DOCS / "own-data.md").read_text(), re.DOTALL)
    page = tmp_path / "page.yaml"
    page.write_text(shown)
    assert load_file(JOINTKD, page) == load_file(JOINTKD, DOCS / "examples" / "hospitals.yaml")


def test_the_help_names_the_templates(peerkd) -> None:
    # A narrow terminal may break a name at its hyphen.
    text = "".join(peerkd("init", "--help").out.split())
    assert [kind for kind in TEMPLATES if kind not in text] == []
