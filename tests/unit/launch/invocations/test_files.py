import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from peerkd.launch.invocations import files
from peerkd.launch.invocations.files import (
    FOLDER_VARIABLE,
    Invocation,
    find_invocations,
    invoking,
    list_invocations,
    name_run,
    split_log_line,
)

RUN = "run/0123456789abcdef"


def invocation_at(output: Path, key: str = RUN, *, error: BaseException | None = None) -> Invocation:
    """Make an invocation of a run that publishes its record, and return what its files say."""
    with (
        suppress(ValueError, KeyboardInterrupt, SystemExit),
        invoking(output, pipeline="pcl", experiment="digits", stages=["split_data", "train_pcl"]) as writer,
    ):
        writer.take("split_data", "300 samples")
        name_run(key, experiment="digits", skew="pcl")
        if error:
            raise error
    return list_invocations(output)[0]


def test_an_invocation_is_running_until_its_context_ends(tmp_path: Path) -> None:
    with invoking(tmp_path, pipeline="pcl", experiment="digits", stages=["split_data"]) as writer:
        (before,) = list_invocations(tmp_path)
        assert (before.state, before.run_key, before.title) == ("running", None, "digits")
        writer.take("split_data", "300 samples")
        name_run(RUN, experiment="digits", skew="pcl")
        (named,) = list_invocations(tmp_path)
        assert (named.run_key, named.title, named.run_name) == (RUN, "digits-pcl-0123", "digits-pcl-0123456789abcdef")
    (after,) = list_invocations(tmp_path)
    assert after.state == "finished"
    assert FOLDER_VARIABLE not in os.environ
    lines = [split_log_line(line)[1:] for line in after.log.read_text().splitlines()]
    assert lines == [("split_data", "300 samples"), ("", "finished")]


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (ValueError("no."), "failed", "no."),
        (KeyboardInterrupt(), "interrupted", ""),
        (SystemExit(143), "interrupted", ""),
    ],
)
def test_the_end_of_an_invocation_says_how_it_ended(
    tmp_path: Path, error: BaseException, state: str, message: str
) -> None:
    invocation = invocation_at(tmp_path, error=error)
    assert (invocation.state, invocation.status.message) == (state, message)


def test_an_invocation_whose_process_was_killed_is_stopped(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from peerkd.launch.invocations.files import invoking\n"
        "with invoking(Path(sys.argv[1]), pipeline='pcl', experiment='digits', stages=['split_data']): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert [invocation.state for invocation in list_invocations(tmp_path)] == ["stopped"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_run_that_is_refused_leaves_no_files(tmp_path: Path, exists: bool) -> None:
    output = tmp_path / "runs"
    if exists:
        output.mkdir()
    with pytest.raises(ValueError, match="no"), invoking(output, pipeline="pcl", experiment="digits", stages=[]):
        raise ValueError("no.")
    assert list(tmp_path.rglob("*")) == ([output] if exists else [])


def test_the_log_has_few_lines_with_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LOGGED_COUNTS_SECONDS", 1000.0)
    with invoking(tmp_path, pipeline="pcl", experiment="digits", stages=["train_pcl"]) as writer:
        for num in range(1, 51):
            writer.take("train_pcl", f"{num} of 50 epochs ({num / 50:.0%})")
    (invocation,) = list_invocations(tmp_path)
    assert [line.split()[2] for line in invocation.log.read_text().splitlines()[:-1]] == ["1", "50"]
    assert invocation.status.stages[0].counts is not None


def test_a_run_is_found_by_its_name_its_key_and_as_the_latest(tmp_path: Path) -> None:
    first, other, again = (invocation_at(tmp_path, key) for key in (RUN, "run/fedcba9876543210", RUN))
    invocations = list_invocations(tmp_path)
    assert [each.folder for each in invocations] == [again.folder, other.folder, first.folder]
    for text in ("latest", "digits-pcl-0", "digits-pcl-0123456789abcdef", "0123", RUN):
        assert [each.folder for each in find_invocations(invocations, text)] == [again.folder, first.folder]
    with pytest.raises(ValueError, match=r"fits digits-pcl-0123, digits-pcl-fedc\.$"):
        find_invocations(invocations, "digits")
    with pytest.raises(ValueError, match=r"^RUN must be one of latest, digits-pcl-0123, digits-pcl-fedc, got mnist\.$"):
        find_invocations(invocations, "mnist")
    with pytest.raises(ValueError, match="which has none"):
        find_invocations([], "latest")


def test_damaged_files_are_no_invocation(tmp_path: Path) -> None:
    invocation = invocation_at(tmp_path)
    (invocation.folder / "status.json").write_text("{}")
    assert list_invocations(tmp_path) == []


def test_without_an_invocation_no_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "gone"))
    name_run(RUN, experiment="digits", skew="pcl")
    assert list(tmp_path.iterdir()) == []
