"""Whether the files of a source are the ones that were read before, without reading them."""

import hashlib
from pathlib import Path


def signature(path: str | None) -> str | None:
    """Return a SHA-256 over the names, sizes and modification times of the files at ``path``, None without a path.

    A data set that was read once is taken from the store while its signature stays; a touched file is only read
    again, since everything later goes by the content. A path without files has the signature of nothing.
    """
    if path is None:
        return None
    root = Path(path).expanduser()
    files = [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file.relative_to(root.parent)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
