"""The small stages under kills, power cuts, damaged files and failing disks. A case takes milliseconds."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.power_cut import disk_after
from tests.faults.report import Case
from tests.faults.shim import KINDS_THAT_FAIL, Shim

ROOT = Path(__file__).parents[2]


class SmallRuns:
    """A server of small stages, and the folder of their store."""

    def __init__(self, process: subprocess.Popen[str], shim: Shim, folder: Path) -> None:
        self._process, self.shim = process, shim
        self._ledger = folder / "ledger"
        self.store = shim.root
        self.clear()
        assert self.attempt() == 0, self.ledger()
        self.result = self.ledger()[-1]
        """The last line of the ledger of an undisturbed run."""

    def clear(self) -> None:
        """Empty the store."""
        shutil.rmtree(self.store, ignore_errors=True)
        self.store.mkdir(parents=True)
        self._ledger.unlink(missing_ok=True)
        self.shim.arm()

    def attempt(self) -> int:
        """Run both stages, and return the exit code."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"store": str(self.store), "ledger": str(self._ledger)}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def ledger(self) -> list[str]:
        """Return the lines that all attempts since ``clear`` have written to the ledger."""
        return self._ledger.read_text(encoding="utf-8").splitlines() if self._ledger.exists() else []


@contextmanager
def small_runs(folder: Path) -> Iterator[SmallRuns]:
    """Start the server of small stages."""
    root = folder / "store"
    root.mkdir(parents=True)
    shim = Shim(root, folder / "shim")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.small_stage"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **shim.environment()},
    ) as process:
        try:
            yield SmallRuns(process, shim, folder)
        finally:
            process.kill()


def kills(runs: SmallRuns, num_cases: int, *, seed: int) -> Iterator[Case]:
    """Kill the process during a change to a file, up to three times in one study, and continue the study."""
    num_changes = _num_changes(runs)
    for number in range(num_cases):
        rng = random.Random(f"kills {seed} {number}")
        runs.clear()
        for _ in range(rng.randint(1, 3)):
            runs.shim.arm("kill process", at=rng.randint(1, num_changes))
            runs.attempt()
        runs.shim.arm()
        yield Case("kill within a write", number, _complaint(runs, runs.attempt()) or _done_twice(runs.ledger()))


def refusals(runs: SmallRuns, num_cases: int, *, seed: int) -> Iterator[Case]:
    """Let the disk refuse changes from some moment on, and continue the study with a working disk."""
    num_changes = _num_changes(runs)
    for number in range(num_cases):
        rng = random.Random(f"refusals {seed} {number}")
        error = rng.choice(list(KINDS_THAT_FAIL))
        runs.clear()
        runs.shim.arm("fail", at=rng.randint(1, num_changes), times=rng.choice([1, 3, 2**62]), error=error)
        first = runs.attempt()
        complaint = None
        if first not in (0, 2, 3):
            complaint = f"errno {error}: exit code {first}, {runs.ledger()[-1:]}"
        runs.shim.arm()
        yield Case("disk that refuses", number, complaint or _complaint(runs, runs.attempt()))


def power_cuts(runs: SmallRuns, num_cases: int, *, seed: int) -> Iterator[Case]:
    """Cut the power after some change of an undisturbed study, and continue from a possible state of the disk."""
    runs.clear()
    runs.shim.start_log()
    assert runs.attempt() == 0
    operations = runs.shim.operations()
    published = [line.split()[1] for line in runs.ledger() if line.startswith("published ")]
    # The first artifact has been published when the second one is begun.
    begun = [
        next(number for number, operation in enumerate(operations) if f"/{key.partition('/')[0]}" in operation.path)
        for key in published[1:]
    ]
    returned_before = [*begun, len(operations) - 1]
    for number in range(num_cases):
        rng = random.Random(f"power cuts {seed} {number}")
        moment = rng.randint(0, len(operations))
        runs.clear()
        runs.store.rmdir()
        disk_after(operations, moment, runs.store, runs.store, rng=rng)
        lasting = [key for key, later in zip(published, returned_before, strict=True) if later < moment]
        yield Case("power cut", number, _lost(runs.store, lasting) or _complaint(runs, runs.attempt()))


def damages(runs: SmallRuns, num_cases: int, *, seed: int) -> Iterator[Case]:
    """Change a bit, a byte range or the length of a file of a study that was killed or has ended, and continue it.

    The study may also refuse the damaged file in a sentence, if it keeps the file.
    """
    num_changes = _num_changes(runs)
    for number in range(num_cases):
        rng = random.Random(f"damages {seed} {number}")
        runs.clear()
        if rng.random() < 0.7:
            runs.shim.arm("kill process", at=rng.randint(1, num_changes))
        runs.attempt()
        runs.shim.arm()
        path = rng.choice(sorted(path for path in runs.store.rglob("*") if path.is_file()) or [None])
        if path:
            _damage(path, rng)
        exit_code = runs.attempt()
        last = (runs.ledger() or ["nothing"])[-1]
        complaint = None
        if exit_code == 0 and last != runs.result:
            complaint = f"{path}: {last} in place of {runs.result}"
        elif exit_code not in (0, 2) or last.startswith("traceback"):
            complaint = f"{path}: exit code {exit_code}: {last}"
        yield Case("damaged file", number, complaint)


def _damage(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    match rng.randrange(4) if content else 3:
        case 0 | 1:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        case 2:
            start = rng.randrange(len(content))
            stop = min(start + rng.choice([1, 16, 512]), len(content))
            content[start:stop] = bytes(stop - start)
        case 3:
            del content[rng.randint(0, len(content)) :]
    path.write_bytes(content)


def _num_changes(runs: SmallRuns) -> int:
    runs.clear()
    assert runs.attempt() == 0
    return runs.shim.num_changes


def _complaint(runs: SmallRuns, exit_code: int) -> str | None:
    """Return what is wrong after an undisturbed attempt, or None."""
    last = (runs.ledger() or ["nothing"])[-1]
    if exit_code != 0:
        return f"exit code {exit_code}: {last}"
    if last != runs.result:
        return f"{last} in place of {runs.result}"
    return None


def _done_twice(ledger: list[str]) -> str | None:
    recorded: set[str] = set()
    for line in ledger:
        word, _, task = line.partition(" ")
        if word == "recorded":
            recorded.add(task)
        elif word == "computing" and task in recorded:
            return f"task {task} was done again after it had been recorded"
    return None


def _lost(store: Path, published: list[str]) -> str | None:
    missing = [key for key in published if not (store / key / "manifest.json").is_file()]
    return f"lost after it was published: {', '.join(missing)}" if missing else None
