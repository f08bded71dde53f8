"""Possible contents of a disk after a power cut, computed from a log of all changes and syncs.

The data of a file are safe once the file was synced. Of data that were written later, none, all or some may be on the
disk, or the size of the file without its data. A name is safe once its folder was synced. Other changes to names are
kept in their order up to some moment, as in journaling file systems. POSIX promises no more than that.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.faults.shim import Operation

_NAME_CHANGES = frozenset({"create", "mkdir", "rename", "link", "unlink", "rmdir"})


@dataclass
class _File:
    """The content of one inode."""

    synced: bytes = b""
    written: bytes = b""


@dataclass
class _Folder:
    entries: dict[str, "_Folder | int"] = field(default_factory=dict)
    """A folder, or the inode of a file, by name."""


def disk_after(operations: Sequence[Operation], moment: int, root: Path, target: Path, *, rng: random.Random) -> None:
    """Write one possible state of a disk after a power cut that follows the first ``moment`` operations.

    Args:
        operations: All changes below ``root``, which was empty before.
        moment: From 0 to the number of operations.
        root: The folder whose changes were logged.
        target: A new folder for the state.
        rng: Draws among the possible states.
    """
    before = _with_unseen_renamings(operations[:moment])
    lasting = _lasting_names(before, up_to=rng.randint(0, len(before)))
    files: dict[int, _File] = {}
    tree = _Folder()
    for number, operation in enumerate(before):
        _apply_data(files, operation)
        if number in lasting:
            _apply_name(tree, operation, root)
    _write(tree, target, {inode: _surviving(file, rng) for inode, file in files.items()})


def _with_unseen_renamings(operations: Sequence[Operation]) -> list[Operation]:
    """Return the operations with a renaming wherever a file has another name than the one that was logged.

    A library that calls the kernel without the functions of libc renames files without the shim, as safetensors does
    with the temporary file that it writes to.
    """
    paths: dict[int, str] = {}
    """The path of each file and folder by its inode."""
    parents: dict[int, int] = {}
    complete: list[Operation] = []
    for operation in operations:
        inode, known = operation.inode, paths.get(operation.inode)
        if operation.name in ("create", "mkdir"):
            paths[inode], parents[inode] = operation.path, operation.parent
        elif operation.name in ("content", "rename") and known is not None and known != operation.path:
            parent = parents[inode]
            unseen = replace(
                operation,
                name="rename",
                path=known,
                new_path=operation.path,
                parent=parent,
                new_parent=parent,
                data=b"",
            )
            complete.append(unseen)
            paths = _after_renaming(paths, unseen)
        if operation.name == "rename":
            paths = _after_renaming(paths, operation)
            parents[inode] = operation.new_parent
        elif operation.name in ("unlink", "rmdir"):
            paths = {each: path for each, path in paths.items() if path != operation.path}
        complete.append(operation)
    return complete


def _after_renaming(paths: Mapping[int, str], operation: Operation) -> dict[int, str]:
    """Return the paths after a file or a folder was renamed, without a file that it replaced."""

    def renamed(path: str) -> str:
        is_inside = path == operation.path or path.startswith(f"{operation.path}/")
        return operation.new_path + path[len(operation.path) :] if is_inside else path

    return {inode: renamed(path) for inode, path in paths.items() if path != operation.new_path}


def _lasting_names(operations: Sequence[Operation], *, up_to: int) -> set[int]:
    """Return the numbers of the changes to names that survive."""
    synced_later: set[int] = set()
    lasting: set[int] = set()
    for number in range(len(operations) - 1, -1, -1):
        operation = operations[number]
        if operation.name == "sync-folder":
            synced_later.add(operation.inode)
        elif operation.name in _NAME_CHANGES:
            folders = {operation.parent, operation.new_parent} - {0}
            if number < up_to or folders <= synced_later:
                lasting.add(number)
    return lasting


def _apply_data(files: dict[int, _File], operation: Operation) -> None:
    if operation.name == "create":
        files[operation.inode] = _File()
        return
    if operation.name not in ("write", "truncate", "content", "sync"):
        return
    file = files.setdefault(operation.inode, _File())
    if operation.name == "write":
        start = file.written[: operation.offset].ljust(operation.offset, b"\0")
        file.written = start + operation.data + file.written[operation.offset + len(operation.data) :]
    elif operation.name == "truncate":
        file.written = file.written[: operation.offset].ljust(operation.offset, b"\0")
    else:
        file.written = operation.data
        if operation.name == "sync":
            file.synced = operation.data


def _apply_name(tree: _Folder, operation: Operation, root: Path) -> None:
    """Apply a change to a name, unless an earlier change that it requires did not survive."""
    place = _find(tree, operation.path, root)
    if place is None:
        return
    folder, name = place
    match operation.name:
        case "create":
            folder.entries[name] = operation.inode
        case "mkdir":
            folder.entries.setdefault(name, _Folder())
        case "unlink" | "rmdir":
            folder.entries.pop(name, None)
        case "link" | "rename":
            destination = _find(tree, operation.new_path, root)
            if destination is None or name not in folder.entries:
                return
            moved = folder.entries[name] if operation.name == "link" else folder.entries.pop(name)
            destination[0].entries[destination[1]] = moved


def _find(tree: _Folder, path: str, root: Path) -> tuple[_Folder, str] | None:
    *parents, name = Path(path).relative_to(root).parts or ("",)
    folder = tree
    for parent in parents:
        entry = folder.entries.get(parent)
        if not isinstance(entry, _Folder):
            return None
        folder = entry
    return (folder, name) if name else None


def _surviving(file: _File, rng: random.Random) -> bytes:
    """Return a possible content of a file: at least the synced content, if nothing was written since."""
    if file.written == file.synced:
        return file.synced
    match rng.randrange(4):
        case 0:
            return file.synced
        case 1:
            return file.written
        case 2:
            # If data were only appended since the sync, the synced content survives.
            least = len(file.synced) if file.written.startswith(file.synced) else 0
            return file.written[: rng.randint(least, len(file.written))]
    return file.synced.ljust(len(file.written), b"\0")[: max(len(file.synced), len(file.written))]


def _write(tree: _Folder, target: Path, contents: dict[int, bytes]) -> None:
    target.mkdir(parents=True)
    for name, entry in tree.entries.items():
        if isinstance(entry, _Folder):
            _write(entry, target / name, contents)
        else:
            (target / name).write_bytes(contents.get(entry, b""))
