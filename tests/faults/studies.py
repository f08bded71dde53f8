"""Whole studies, run by the command that a person would type, under the faults that may happen to a machine.

Each case takes seconds, so ``make faults`` runs these families, and ``make test`` runs only a few of their cases.
"""

import errno
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.power_cut import disk_after
from tests.faults.report import Case
from tests.faults.shim import KINDS_THAT_FAIL, Shim
from tests.pipelines.experiments import TINY, TINY_STUDY, command

_LIMIT_SECONDS: Final = 300.0
_CLOCK: Final = Path(__file__).with_name("wild_clock")


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A small experiment, and its results without faults."""

    name: str
    words: tuple[str, ...]
    """The command without its output option."""
    fingerprints: Mapping[str, str]
    """Fingerprints of tables by the key of their artifact."""
    seconds: float
    """The duration of the study without faults."""

    def command(self, output: Path) -> list[str]:
        """Return the command with an output folder."""
        return [*self.words, "--output", str(output)]


_WORDS: Final = {
    errno.ENOSPC: ("full",),
    errno.EDQUOT: ("quota",),
    errno.EFBIG: ("larger than",),
    errno.EIO: ("failed",),
    errno.EROFS: ("read-only",),
}
"""Words for each error of a disk. The message must contain one of them."""

SWEEP: Final = "sweep"
_STUDIES: Final[Mapping[str, tuple[str, Sequence[str], Sequence[str]]]] = {
    SWEEP: ("jointkd", TINY, ()),
    "tuned study": ("jointkd", (*TINY, "tune.budget_fraction=0.5"), ("--strategy", "tune")),
    "PCL": ("pcl", TINY_STUDY, ()),
}


def undisturbed(folder: Path, names: Sequence[str] = tuple(_STUDIES)) -> list[Study]:
    """Run studies without faults to learn their results."""
    studies = []
    for name in names:
        pipeline, settings, options = _STUDIES[name]
        words = command(Path("unused"), settings, pipeline=pipeline)
        place = words.index("--output")
        study = Study(name=name, words=(*words[:place], *words[place + 2 :], *options), fingerprints={}, seconds=0)
        output, started = folder / name.replace(" ", "-"), time.monotonic()
        ended = _run(study.command(output))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        studies.append(
            Study(
                name=name,
                words=study.words,
                fingerprints=fingerprints(output),
                seconds=time.monotonic() - started,
            )
        )
    return studies


def fingerprints(output: Path) -> dict[str, str]:
    """Return the fingerprint of each published table by the key of its artifact."""
    manifests = [json.loads(path.read_text(encoding="utf-8")) for path in output.glob("*/*/manifest.json")]
    found = {manifest["key"]: manifest["metadata"].get("fingerprint") for manifest in manifests}
    return {key: fingerprint for key, fingerprint in found.items() if fingerprint}


def kills(studies: Sequence[Study], num_cases: int, *, seed: int, side_by_side: int = 2) -> Iterator[Case]:
    """Kill the runner, one of its processes or all of them, one to four times in a study. Then complete the study."""

    def case(number: int) -> Case:
        rng = random.Random(f"kills of studies {seed} {number}")
        study = studies[number % len(studies)]
        with _output() as output:
            num_kills = sum(_run_and_kill(study, output, rng) for _ in range(rng.randint(1, 4)))
            return Case(f"kill of a {study.name}", number, _complaint(study, output), num_kills)

    yield from _side_by_side(case, num_cases, side_by_side)


def refusals(studies: Sequence[Study], num_cases: int, *, seed: int, side_by_side: int = 2) -> Iterator[Case]:
    """Let the disk refuse changes from some moment on. The run must say so, and continue with a working disk."""

    def case(number: int) -> Case:
        rng = random.Random(f"refusals of studies {seed} {number}")
        study = studies[number % len(studies)]
        with _output() as output, tempfile.TemporaryDirectory() as scratch:
            shim = Shim(output, Path(scratch))
            error = rng.choice(list(KINDS_THAT_FAIL))
            shim.arm("fail", at=int(10 ** rng.uniform(0, 3)), error=error)
            ended = _run(study.command(output), environment=shim.environment())
            complaint = _not_a_sentence(ended, *_WORDS[error], os.strerror(error)) if ended.returncode else None
            return Case(f"disk that refuses a {study.name}", number, complaint or _complaint(study, output))

    yield from _side_by_side(case, num_cases, side_by_side)


def power_cuts(study: Study, num_cases: int, *, seed: int, side_by_side: int = 2) -> Iterator[Case]:
    """Cut the power at moments of one study, and continue from a possible state of the disk."""
    with _output() as logged, tempfile.TemporaryDirectory() as scratch:
        shim = Shim(logged, Path(scratch))
        shim.arm()
        shim.start_log()
        ended = _run(study.command(logged), environment=shim.environment())
        assert ended.returncode == 0, ended.stdout + ended.stderr
        operations = shim.operations()

    def case(number: int) -> Case:
        rng = random.Random(f"power cuts of studies {seed} {number}")
        with _output() as output:
            output.rmdir()
            disk_after(operations, rng.randint(0, len(operations)), shim.root, output, rng=rng)
            return Case(f"power cut in a {study.name}", number, _complaint(study, output))

    yield from _side_by_side(case, num_cases, side_by_side)


def two_at_once(studies: Sequence[Study], num_cases: int, *, seed: int) -> Iterator[Case]:
    """Run the same command twice, the second time while the first may still run."""
    for number in range(num_cases):
        rng = random.Random(f"two at once {seed} {number}")
        study = studies[number % len(studies)]
        with _output() as output:
            first = _start(study.command(output))
            time.sleep(rng.uniform(0, study.seconds))
            second = _run(study.command(output))
            out, err = first.communicate(timeout=_LIMIT_SECONDS)
            ended = [second, subprocess.CompletedProcess(first.args, first.returncode, out, err)]
            complaints = [_not_a_sentence(each, "at work") for each in ended if each.returncode]
            complaint = next(filter(None, complaints), None)
            yield Case(f"two of a {study.name}", number, complaint or _complaint(study, output))


def wild_clocks(studies: Sequence[Study], num_cases: int) -> Iterator[Case]:
    """Let every process see a wall clock that jumps by up to a day, back and forth."""
    for number in range(num_cases):
        study = studies[number % len(studies)]
        with _output() as output:
            path = os.pathsep.join(filter(None, [str(_CLOCK), os.environ.get("PYTHONPATH")]))
            ended = _run(study.command(output), environment={"PYTHONPATH": path})
            complaint = f"exit code {ended.returncode}: {ended.stdout[-500:]}{ended.stderr[-500:]}"
            yield Case(
                f"wild clock in a {study.name}", number, complaint if ended.returncode else _complaint(study, output)
            )


def _run_and_kill(study: Study, output: Path, rng: random.Random) -> bool:
    """Run a study and kill a part of it at some moment; return whether it was still at work then."""
    process = _start(study.command(output))
    # Early moments are more likely, because a later attempt has less work left.
    moment = time.monotonic() + study.seconds * rng.random() ** 1.5
    while time.monotonic() < moment and process.poll() is None:
        time.sleep(0.01)
    was_at_work = process.poll() is None
    target = rng.choice(["runner", "worker", "group"])
    if target == "group":
        _kill_all(process)
    elif target == "runner":
        process.kill()
    else:
        descendants = _descendants(process.pid)
        if descendants:
            _kill(rng.choice(descendants))
    if target == "worker":
        try:
            process.communicate(timeout=_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            _kill_all(process)
            raise
    else:
        process.communicate()
    deadline = time.monotonic() + 30
    while _uses(output):
        assert time.monotonic() < deadline, "a killed run left processes behind"
        time.sleep(0.05)
    return was_at_work


def _complaint(study: Study, output: Path) -> str | None:
    """Return what is wrong after an attempt without faults, or None."""
    ended = _run(study.command(output))
    if ended.returncode:
        return f"exit code {ended.returncode}: {(ended.stdout + ended.stderr)[-600:]}"
    found = {key: each for key, each in fingerprints(output).items() if key in study.fingerprints}
    return None if found == study.fingerprints else f"{found} in place of {dict(study.fingerprints)}"


def _not_a_sentence(ended: subprocess.CompletedProcess[str], *words: str) -> str | None:
    said = ended.stdout + ended.stderr
    if "Traceback" in said or "without an error message" in said:
        return f"a traceback: {said[-1500:]}"
    lowered = said.lower()
    return None if any(word.lower() in lowered for word in words) else f"no word of {words}: {said[-600:]}"


def _run(words: list[str], environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    process = _start(words, environment)
    try:
        out, err = process.communicate(timeout=_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        _kill_all(process)
        out, err = process.communicate()
        err += f"\nharness: still running after {_LIMIT_SECONDS:.0f} s"
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def _start(words: list[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PEERKD_NUM_CORES": "1", **(environment or {})},
    )


def _kill_all(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    found: list[int] = []
    for candidate in parents:
        ancestor = candidate
        while ancestor in parents and ancestor != pid:
            ancestor = parents[ancestor]
        if ancestor == pid and candidate != pid:
            found.append(candidate)
    return found


def _uses(output: Path) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(output).encode() in path.read_bytes():
                return True
        except OSError:
            continue
    return False


@contextmanager
def _output() -> Iterator[Path]:
    """Create a folder for one case, and remove it with its contents afterwards."""
    with tempfile.TemporaryDirectory(prefix="peerkd-faults-", ignore_cleanup_errors=True) as folder:
        output = Path(folder, "runs")
        output.mkdir()
        yield output


def _side_by_side(case: Callable[[int], Case], num_cases: int, num_threads: int) -> Iterator[Case]:
    with ThreadPoolExecutor(num_threads) as pool:
        yield from pool.map(case, range(num_cases))
