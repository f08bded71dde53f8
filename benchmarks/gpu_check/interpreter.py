"""The Python interpreter of the check. Its torch can use a GPU, and it has the packages that peerkd's training needs.

The machine may have neither a network nor a virtual environment. Packages that its Python lacks can be unpacked from
wheels. ``python -m benchmarks.gpu_check.interpreter`` prints the path of the interpreter.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from zipfile import ZipFile

NEEDED: Final = ("torch", "numpy", "pydantic", "safetensors", "pyarrow", "PIL", "yaml")
"""The modules of other packages that a training imports."""

OPTIONAL: Final = ("pytest", "sklearn", "torchvision")
"""The modules of other packages that only some steps import."""

_PROBE_SECONDS: Final = 120.0

_PROBE: Final = """
import importlib.util, json, sys
missing = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]
facts = {"missing": missing, "python": sys.version.split()[0], "torch": "", "gpu": ""}
if "torch" not in missing:
    import torch
    facts["torch"] = torch.__version__
    facts["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
print(json.dumps(facts))
"""


class Interpreter(NamedTuple):
    """An interpreter and what it can import."""

    path: str
    python: str
    torch: str
    """The version of torch; empty without torch."""

    gpu: str
    """The name of the first GPU; empty without a GPU that torch can use."""

    missing: tuple[str, ...]

    def __str__(self) -> str:
        """Return a line for the summary."""
        return f"{self.gpu}; {self.path}, Python {self.python}, torch {self.torch}"


def choose_interpreter(paths: Sequence[str], *, environment: Mapping[str, str]) -> Interpreter:
    """Return the first interpreter whose torch can use a GPU and that has all needed packages.

    Raises:
        ValueError: If no interpreter can run the check. The message is one sentence that states what is missing.
    """
    examined = [each for path in paths if (each := _examine(path, environment)) is not None]
    having_torch = [each for each in examined if each.torch]
    having_gpu = [each for each in having_torch if each.gpu]
    lacks = [[name for name in each.missing if name in NEEDED] for each in having_gpu]
    for each, lacking in zip(having_gpu, lacks, strict=True):
        if not lacking:
            return each
    names = ", ".join(paths)
    if not having_torch:
        raise ValueError(f"The check needs a Python 3.11 or newer with torch, and none of {names} has it.")
    if not having_gpu:
        raise ValueError(f"The check needs a GPU that torch can use, and the torch of {having_torch[0].path} has none.")
    raise ValueError(
        f"The check needs {', '.join(lacks[0])}, which {having_gpu[0].path} lacks; install it, or pass a folder of "
        f"wheels for Python {having_gpu[0].python} with --wheels."
    )


def candidates(root: Path) -> list[str]:
    """Return the interpreters to examine: the one that runs this program, then the one in ``.venv``."""
    own = root / ".venv/bin/python"
    return list(dict.fromkeys([sys.executable, *([str(own)] if own.exists() else [])]))


def unpack_wheels(wheels: Path, folder: Path) -> None:
    """Unpack wheels into a folder for ``PYTHONPATH``. A wheel is a zip file of modules; nothing of it is run.

    Raises:
        ValueError: If the folder contains no wheel.
    """
    found = sorted(wheels.glob("*.whl"))
    if not found:
        raise ValueError(f"--wheels must be a folder with *.whl files, and {wheels} has none.")
    for path in found:
        with ZipFile(path) as wheel:
            wheel.extractall(folder)


def _examine(path: str, environment: Mapping[str, str]) -> Interpreter | None:
    try:
        done = subprocess.run(
            [path, "-c", _PROBE, *NEEDED, *OPTIONAL],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=True,
        )
        facts = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return Interpreter(path, facts["python"], facts["torch"], facts["gpu"], tuple(facts["missing"]))


def main() -> int:
    """Print the path of the interpreter, or what is missing.

    Return the exit status: 0, or 2 if there is no interpreter.
    """
    try:
        print(choose_interpreter(candidates(Path(__file__).parents[2]), environment={}).path)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
