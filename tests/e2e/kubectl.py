"""Observations and faults of a real cluster that use only kubectl and no code of peerkd."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

POLL_SECONDS = 0.25

PATIENCE: Final = float(os.environ.get("PEERKD_E2E_PATIENCE") or 1)
"""A factor for the time limits of whole runs, for a busy machine. Waits for what must be quick keep their limits."""


class KubectlError(Exception):
    """A failure of kubectl. The message is its output."""


def find() -> str | None:
    """Return the path of kubectl, on the PATH or next to the programs of a local cluster."""
    beside = Path.home() / ".cache" / "cluster" / "bin" / "kubectl"
    return shutil.which("kubectl") or (str(beside) if beside.is_file() else None)


def kubectl(*arguments: str, text: str | None = None, timeout_seconds: float = 120) -> str:
    """Run kubectl and return its output."""
    program = find()
    assert program is not None
    ended = subprocess.run(
        [program, *arguments], input=text, capture_output=True, text=True, check=False, timeout=timeout_seconds
    )
    if ended.returncode:
        raise KubectlError(f"kubectl {' '.join(arguments)}: {ended.stderr.strip()}")
    return ended.stdout


def apply(*objects: Mapping[str, Any]) -> None:
    """Create or change objects. kubectl itself would refuse an empty list."""
    if not objects:
        return
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(items))


def get(kind: str, name: str, *, namespace: str) -> dict[str, Any] | None:
    """Return an object, or None if it does not exist."""
    printed = kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
    return json.loads(printed) if printed else None


def items(kind: str, *, namespace: str, labels: str = "") -> list[dict[str, Any]]:
    """Return all objects of a kind that have the labels."""
    selector = ["-l", labels] if labels else []
    found: list[dict[str, Any]] = json.loads(kubectl("get", kind, "-n", namespace, *selector, "-o", "json"))["items"]
    return found


def wait_until(look: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Call ``look`` until it returns something true, and return that. Fail after a time limit."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"not within {seconds} s: {what}")
