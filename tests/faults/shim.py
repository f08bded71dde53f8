"""The interface of the harness to ``shim.c``: how the shim is built and controlled, and what it has logged."""

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

Action = Literal["nothing", "kill process", "kill group", "fail"]
_ACTIONS: Final[tuple[Action, ...]] = ("nothing", "kill process", "kill group", "fail")

WRITE, CREATE, NAME, SYNC = 1, 2, 4, 8
KINDS_THAT_FAIL: Final = {
    errno.ENOSPC: WRITE | CREATE,
    errno.EDQUOT: WRITE | CREATE,
    errno.EFBIG: WRITE,
    errno.EIO: WRITE | SYNC,
    errno.EROFS: WRITE | CREATE | NAME,
}
"""The kinds of changes that fail with each error of a disk."""


class _State(ctypes.Structure):
    """``struct state`` of ``shim.c``."""

    _fields_ = (
        ("count", ctypes.c_uint64),
        ("at", ctypes.c_uint64),
        ("times", ctypes.c_uint64),
        ("action", ctypes.c_int32),
        ("kinds", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("logs", ctypes.c_int32),
        ("ready", ctypes.c_int32),
        ("mutex", ctypes.c_char * 64),
    )


@dataclass(frozen=True, slots=True)
class Operation:
    """One change to files, as logged by the shim."""

    name: str
    inode: int
    parent: int
    """Inode of the folder that contains the name, or contained it before the change."""
    new_parent: int
    """Inode of the folder that contains the new name after a ``rename``."""
    offset: int
    path: str
    new_path: str
    data: bytes


class Shim:
    """The shim for programs whose files are below one folder. Several processes of one program share it."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root, self._scratch = root.resolve(), scratch
        scratch.mkdir(parents=True, exist_ok=True)
        self._log = scratch / "log"
        path = scratch / "state"
        path.write_bytes(bytes(ctypes.sizeof(_State)))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._state = _State.from_buffer(self._memory)

    def environment(self) -> dict[str, str]:
        """Return the environment variables that a program needs to run with the shim."""
        return {
            "LD_PRELOAD": str(build()),
            "FAULTS_ROOT": str(self.root),
            "FAULTS_STATE": str(self._scratch / "state"),
            "FAULTS_LOG": str(self._log),
        }

    def arm(self, action: Action = "nothing", *, at: int = 0, times: int = 2**62, error: int = 0) -> None:
        """Restart the count at 0, and let a fault happen at one change, or at certain changes from then on."""
        self._state.count, self._state.at, self._state.times = 0, at, times
        self._state.action, self._state.error = _ACTIONS.index(action), error
        self._state.kinds = KINDS_THAT_FAIL.get(error, 0)
        self._state.logs = 0

    def start_log(self) -> None:
        """Clear the log, and start to log."""
        self._log.write_bytes(b"")
        self._state.logs = 1

    @property
    def num_changes(self) -> int:
        """The number of changes since ``arm``."""
        return int(self._state.count)

    def operations(self) -> list[Operation]:
        """Return the logged operations in their order."""
        operations = []
        with self._log.open("rb") as file:
            while line := file.readline():
                name, inode, parent, new_parent, offset, length, path, new_path = line.decode().rstrip("\n").split("\t")
                operations.append(
                    Operation(
                        name,
                        int(inode),
                        int(parent),
                        int(new_parent),
                        int(offset),
                        path,
                        new_path,
                        file.read(int(length)),
                    )
                )
        return operations


def why_not() -> str | None:
    """Return the reason why the shim cannot be used on this machine, or None."""
    if not os.uname().sysname.startswith("Linux"):
        return "the shim needs Linux"
    return None if shutil.which("cc") else "the shim needs a C compiler, cc"


@cache
def build() -> Path:
    """Compile the shim, unless this version of its source was compiled before."""
    source = Path(__file__).with_name("shim.c")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "peerkd-faults"
    library = folder / f"shim-{source.stat().st_mtime_ns}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = library.with_suffix(f".{os.getpid()}")
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", str(partial), str(source), "-ldl", "-lpthread"], check=True
        )
        partial.replace(library)
    return library
