"""The check of a GPU, with steps that need none: what passes, fails, hangs or crashes appears so in the summary."""

import importlib.util
import json
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from benchmarks.gpu_check import __main__ as program
from benchmarks.gpu_check import students
from benchmarks.gpu_check.interpreter import NEEDED, choose_interpreter, unpack_wheels
from benchmarks.gpu_check.plan import GROUPS, TOTAL_SECONDS
from benchmarks.gpu_check.steps import Runner, Step, shown_lines
from peerkd.training.trial_state import TrialState

ROOT = Path(__file__).parents[2]
STEPS = [step for group in GROUPS for step in group]

HANGS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def fake(name: str, code: str, *, limit_seconds: float = 60.0, packages: tuple[str, ...] = ()) -> Step:
    return Step(
        name=name, claim=f"This is {name}.", arguments=("-c", code), limit_seconds=limit_seconds, packages=packages
    )


def is_running(process_id: int) -> bool:
    status = Path(f"/proc/{process_id}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_the_summary_states_what_became_of_each_step(tmp_path: Path) -> None:
    lines: list[str] = []
    steps = [
        fake("passes", "import json; print('loading'); print(json.dumps({'images/s': 12}))"),
        fake("fails", "print('before'); raise ValueError('two numbers differ')"),
        fake("crashes", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"),
        fake("hangs", HANGS, limit_seconds=1.0),
        fake("lacks", "", packages=("pytest",)),
    ]
    runner = Runner(sys.executable, tmp_path, missing=["pytest"], total_seconds=60, say=lines.append)
    outcomes = runner.run([[step] for step in steps])
    assert [outcome.passed for outcome in outcomes] == [True, False, False, False, False]
    texts = [line.split("s  ", 1)[1] for line in lines if "This is" in line]
    assert [text.partition(" s")[0].rstrip("0123456789") for text in texts[:4]] == [
        "passes: passed in ",
        "fails: FAILED with exit code 1 after ",
        "crashes: CRASHED with SIGSEGV after ",
        "hangs: CUT OFF after ",
    ]
    assert texts[4] == f"lacks: left out: {sys.executable} lacks pytest. This is lacks."
    stripped = [line.strip() for line in lines]
    assert "images/s: 12" in stripped
    assert "loading" not in stripped
    assert "ValueError: two numbers differ" in stripped
    assert lines[-1].startswith("1 of 5 steps passed in ")
    assert (tmp_path / "passes.txt").read_text() == 'loading\n{"images/s": 12}\n'


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="processes are found in /proc")
def test_a_step_that_is_cut_off_leaves_no_process(tmp_path: Path) -> None:
    Runner(sys.executable, tmp_path, total_seconds=60).run([[fake("hangs", HANGS, limit_seconds=1.5)]])
    child = int((tmp_path / "hangs.txt").read_text())
    deadline = time.monotonic() + 10
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


def test_steps_stay_within_the_total_time(tmp_path: Path) -> None:
    lines: list[str] = []
    started = time.monotonic()
    runner = Runner(sys.executable, tmp_path, total_seconds=6.0, say=lines.append)
    slow, late = fake("slow", "import time; time.sleep(600)"), fake("late", "")
    assert [outcome.text[:12] for outcome in runner.run([[slow], [late]])] == ["CUT OFF afte", "left out: no"]
    assert time.monotonic() - started < 30


def test_steps_of_a_group_run_at_once(tmp_path: Path) -> None:
    # Each waits for the file of the other.
    code = (
        "import pathlib, sys, time; here = pathlib.Path({folder!r}); (here / {own!r}).touch()\n"
        "while not (here / {other!r}).exists(): time.sleep(0.01)"
    )
    group = [
        fake(own, code.format(folder=str(tmp_path), own=own, other=other), limit_seconds=30)
        for own, other in [("one", "other"), ("other", "one")]
    ]
    assert all(outcome.passed for outcome in Runner(sys.executable, tmp_path, total_seconds=60).run([group]))


def test_lines_of_a_log() -> None:
    log = "start\n\n" + json.dumps({"a": 1}) + "\n| peerkd | 50 |\nlast\n"
    assert shown_lines(log, passed=True) == ["a: 1", "| peerkd | 50 |"]
    assert shown_lines(log, passed=False) == ["a: 1", "| peerkd | 50 |", "start", "last"]
    assert shown_lines("4 skipped\n5 passed\n", passed=True) == ["5 passed"]
    assert shown_lines("", passed=False) == []


def test_without_a_gpu_the_check_says_so_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A package of this name saves the time of importing torch.
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text(
        "__version__ = '2.11'\nclass cuda:\n    is_available = staticmethod(lambda: False)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(program, "candidates", lambda root: [sys.executable])
    assert program.main(["--output", str(tmp_path / "logs")]) == 2
    assert capsys.readouterr() == (
        "",
        f"The check needs a GPU that torch can use, and the torch of {sys.executable} has none.\n",
    )
    assert not (tmp_path / "logs").exists()


def interpreter(folder: Path, name: str, *, torch: str, gpu: str, missing: list[str]) -> str:
    path = folder / name
    facts = json.dumps({"missing": missing, "python": "3.12.1", "torch": torch, "gpu": gpu})
    path.write_text(f"#!/bin/sh\necho '{facts}'\n")
    path.chmod(0o755)
    return str(path)


def test_what_an_interpreter_lacks_is_named(tmp_path: Path) -> None:
    bare = interpreter(tmp_path, "bare", torch="", gpu="", missing=[*NEEDED])
    lacking = interpreter(tmp_path, "lacking", torch="2.11", gpu="H100", missing=["pydantic", "sklearn"])
    ready = interpreter(tmp_path, "ready", torch="2.11", gpu="H100", missing=["sklearn"])
    assert choose_interpreter([bare, lacking, ready], environment={}).path == ready
    with pytest.raises(ValueError, match=r"torch, and none of .*bare, nowhere has it\.$"):
        choose_interpreter([bare, "nowhere"], environment={})
    with pytest.raises(
        ValueError, match=r"^The check needs pydantic, which .*lacking lacks; .*for Python 3\.12\.1 with --wheels\.$"
    ):
        choose_interpreter([bare, lacking], environment={})


def test_the_check_runs_its_steps_and_fails_if_one_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = interpreter(tmp_path, "ready", torch="2.11", gpu="H100", missing=[])
    monkeypatch.setattr(program, "candidates", lambda root: [ready])
    monkeypatch.chdir(tmp_path)
    assert program.main(["--output", "logs", "--seconds", "60"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("H100; ")
    assert f"{len(STEPS)} of {len(STEPS)} steps passed" in printed
    assert (tmp_path / "logs/summary.txt").read_text() == printed
    Path(ready).write_text(Path(ready).read_text() + '[ "$1" = -c ] || exit 3\n')
    assert program.main(["--output", "logs", "--seconds", "60"]) == 1
    assert "FAILED with exit code 3" in capsys.readouterr().out


def test_wheels_are_unpacked_where_they_can_be_imported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"folder with \*\.whl files"):
        unpack_wheels(tmp_path, tmp_path / "site")
    with ZipFile(tmp_path / "small-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("small_package/__init__.py", "")
    unpack_wheels(tmp_path, tmp_path / "site")
    assert (tmp_path / "site/small_package/__init__.py").exists()


def test_the_plan_ends_within_eight_minutes_and_names_what_exists() -> None:
    assert TOTAL_SECONDS <= 470
    assert len({step.name for step in STEPS}) == len(STEPS)
    for step in STEPS:
        flag, module, *others = step.arguments
        assert flag == "-m"
        assert importlib.util.find_spec(module), step.name
        assert all((ROOT / word).exists() for word in others if word.startswith("tests/")), step.name


def test_speed_and_equality_of_students_in_lanes_are_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(students, "matrix_rate", lambda kind, **_: 1e9)
    assert students.main(["small_cnn:float32", "--device", "cpu"]) == 0
    _, facts = map(json.loads, capsys.readouterr().out.splitlines())
    assert facts["equal trials end in equal bits"] is facts["finite"] is True
    assert facts["images/s in 1 lanes"] > 0


@pytest.mark.parametrize(("is_equal", "is_finite"), [(False, True), (True, False)])
def test_trials_that_differ_or_diverge_fail_the_check(
    is_equal: bool, is_finite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"equal trials end in equal bits": is_equal, "finite": is_finite}
    monkeypatch.setattr(students, "matrix_rate", lambda kind, **_: 1e9)
    monkeypatch.setattr(students, "measure", lambda *_, **__: facts)
    assert students.main(["small_cnn:float32", "--device", "cpu"]) == 1


def test_trials_are_equal_only_to_the_last_bit() -> None:
    one = TrialState({"weight": torch.tensor([1.0])}, {"weight": torch.tensor([0.5])})
    other = TrialState({"weight": torch.tensor([1.0])}, {"weight": torch.tensor([0.5]).nextafter(torch.tensor(1.0))})
    assert students._equal(one, one)
    assert not students._equal(one, other)
