"""Defects that are planted in a copy of the tree, to check that the harness finds them: ``make planted``.

A defect replaces one piece of text by another. A family of the harness must find no error in the copy without the
defect, and at least one with it.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Defect:
    """A change of one file, and the family that must find it."""

    name: str
    file: str
    sound: str
    """Text that occurs once in the file."""
    defective: str
    family: str
    """The family of ``python -m tests.faults`` that must find it."""


DEFECTS: Final = (
    Defect(
        name="Work that was recorded is done again",
        file="peerkd/stages/shard_queue.py",
        sound="self._work.remaining(shard.tasks, known)",
        defective="self._work.remaining(shard.tasks, set())",
        family="kills",
    ),
    Defect(
        name="A record waits in a buffer",
        file="peerkd/results/journal.py",
        sound="        self._file.flush()\n",
        defective="",
        family="kills",
    ),
    Defect(
        name="Nothing waits for the disk",
        file="peerkd/durable.py",
        sound="    descriptor = os.open(path, os.O_RDONLY)\n    try:\n        os.fsync(descriptor)",
        defective="    descriptor = os.open(path, os.O_RDONLY)\n    try:\n        pass",
        family="power-cuts",
    ),
    Defect(
        name="The name of a published artifact does not wait for the disk",
        file="peerkd/artifacts/filesystem.py",
        sound="        sync_folder(published.parent)\n",
        defective="",
        family="power-cuts",
    ),
    Defect(
        name="A journal's checksums are not compared",
        file="peerkd/results/journal.py",
        sound=" or line[start:end] != _checksum(rest)",
        defective="",
        family="damage",
    ),
    Defect(
        name="The files of an artifact are not compared with its manifest",
        file="peerkd/artifacts/store.py",
        sound="        elif file_sha256(path) != entry.sha256:",
        defective="        elif False:",
        family="damage",
    ),
    Defect(
        name="A failed write ends in a traceback",
        file="peerkd/results/journal.py",
        sound="        self._file.write(to_line(record))\n",
        defective=(
            "        try:\n            self._file.write(to_line(record))\n            self._file.flush()\n"
            '        except OSError as error:\n            raise RuntimeError("cannot write") from error\n'
        ),
        family="disk",
    ),
    Defect(
        name="A request that fails is not repeated",
        file="peerkd/artifacts/s3_errors.py",
        sound="        return TransientError(text)\n",
        defective="        return TransientError(text, num_tries=1)\n",
        family="store",
    ),
    Defect(
        name="An answer without the headers it must have is taken for one",
        file="peerkd/artifacts/s3_answers.py",
        sound="    missing = [name for name in shape.headers if not response.headers.get(name)]",
        defective="    missing: list[str] = []",
        family="store",
    ),
    Defect(
        name="A file that is no image ends in a traceback",
        file="peerkd/data/sources/decoding.py",
        sound="except Exception as error:\n                raise DataSourceError(_reason(error)) from error",
        defective="except Exception:\n                raise",
        family="data",
    ),
    Defect(
        name="An accuracy that is not a number is taken from a table",
        file="benchmarks/tuning/table_checks.py",
        sound="        if rule.is_kind(kind.value_type if pa.types.is_list(kind) else kind):",
        defective="        if rule.is_kind(kind) and not table.num_rows:",
        family="tables",
    ),
    Defect(
        name="Weights of another shape are broadcast",
        file="peerkd/training/checkpoints.py",
        sound="        if tensor.shape != like.shape or tensor.dtype != like.dtype:",
        defective="        if tensor.dtype != like.dtype:",
        family="weights",
    ),
)


def plant(defect: Defect, tree: Path) -> None:
    """Change one file of a tree.

    Raises:
        ValueError: If the original text does not occur exactly once, because the code has changed.
    """
    path = tree / defect.file
    text = path.read_text(encoding="utf-8")
    if text.count(defect.sound) != 1:
        raise ValueError(f"{defect.file} must hold the text of the defect {defect.name!r} once.")
    path.write_text(text.replace(defect.sound, defect.defective), encoding="utf-8")


def main() -> int:
    """Plant each defect in a separate copy, and print what the harness finds."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.planted", description=__doc__)
    parser.add_argument("--scale", default="0.1", help="of the harness (default: 0.1)")
    options = parser.parse_args()
    missed = 0
    for defect in DEFECTS:
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder, "tree")
            for name in ("peerkd", "tests", "benchmarks", "components", "pipelines"):
                shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
            plant(defect, tree)
            ended = subprocess.run(
                [sys.executable, "-m", "tests.faults", "--families", defect.family, "--scale", options.scale],
                cwd=tree,
                capture_output=True,
                text=True,
                check=False,
            )
        is_found = ended.returncode == 1 and " wrong" in ended.stdout
        missed += not is_found
        print(f"{'found ' if is_found else 'MISSED'}  {defect.family:<12}{defect.name}", flush=True)  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
