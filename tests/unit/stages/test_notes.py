from pathlib import Path

import pytest

from peerkd.artifacts.cleaning import FolderCleaner
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.stages.artifact_graph import read_manifests
from peerkd.stages.clean_store import plan_cleaning
from peerkd.stages.notes import KIND, latest_notes, text_of, write_note
from tests.unit.stages.published_runs import finish_two, publish, runs_of


def test_the_last_note_on_a_run_counts(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    for run, text in (("run/a", "one"), ("run/b", "other"), ("run/a", " two "), ("run/b", "")):
        write_note(run, text, store)
    notes = latest_notes(read_manifests(store))
    assert {run: text_of(note) for run, note in notes.items()} == {"run/a": "two", "run/b": ""}
    assert text_of(notes.get("run/c")) == ""


def test_a_note_may_have_spaces_of_any_width_and_joined_emoji(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    text = "10\N{NO-BREAK SPACE}ms \N{WOMAN}\N{ZERO WIDTH JOINER}\N{MICROSCOPE}"
    write_note("run/a", text, store)
    assert text_of(latest_notes(read_manifests(store))["run/a"]) == text


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("x" * 501, "501 characters: xxx"),
        ("two\nlines", r"9 characters, one of which is U\+000A: two"),
        ("\x1b[31mred", r"8 characters, one of which is U\+001B: "),
        ("\N{RIGHT-TO-LEFT OVERRIDE}der", r"4 characters, one of which is U\+202E: "),
    ],
)
def test_a_note_is_one_short_line(tmp_path: Path, text: str, got: str) -> None:
    with pytest.raises(ValueError, match=rf"^TEXT must be one line of at most 500 printable characters, got {got}"):
        write_note("run/a", text, FilesystemStore(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_note_of_another_program_does_not_control_the_terminal(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    note = publish(store, f"{KIND}/0123456789abcdef", run="run/a", text="\x1b[31mred", written_at="2026-01-01")
    assert text_of(note) == "\N{REPLACEMENT CHARACTER}[31mred"


def test_a_note_of_another_program_that_names_no_time_is_ignored(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    publish(store, f"{KIND}/0123456789abcdef", run="run/a", text="odd")
    assert latest_notes(read_manifests(store)) == {}


def test_a_note_stays_as_long_as_its_run(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    gone, needed = finish_two(store)
    (kept,) = (run for run in runs_of(store) if run.key != gone.key)
    for run in (kept, kept, gone):
        write_note(run.key, f"on {run.name}", store)
    last = {run: note.key for run, note in latest_notes(read_manifests(store)).items()}
    runs = runs_of(store)
    chosen = [run for run in runs if run.key == gone.key]
    cleaning = plan_cleaning(FolderCleaner(tmp_path), store, runs, chosen=chosen, has_unfinished=False)
    cleaning.delete()
    assert {key for key in store.keys() if key.startswith(f"{KIND}/")} == {last[kept.key]}  # noqa: SIM118
    assert needed <= set(store.keys())
    assert [run.note for run in runs_of(store)] == [f"on {kept.name}"]
