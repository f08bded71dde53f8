"""Looking at a real cluster, and disturbing it, from outside peerkd: through kubectl alone."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.25


class KubectlError(Exception):
    """kubectl refused; the message is what it printed."""


def find() -> str | None:
    """Return kubectl's path; the one beside a local cluster's programs counts, too."""
    beside = Path.home() / ".cache" / "cluster" / "bin" / "kubectl"
    return shutil.which("kubectl") or (str(beside) if beside.is_file() else None)


def kubectl(*arguments: str, text: str | None = None, timeout_seconds: float = 120) -> str:
    """Run kubectl and return what it printed."""
    program = find()
    assert program is not None
    ended = subprocess.run(
        [program, *arguments], input=text, capture_output=True, text=True, check=False, timeout=timeout_seconds
    )
    if ended.returncode:
        raise KubectlError(f"kubectl {' '.join(arguments)}: {ended.stderr.strip()}")
    return ended.stdout


def apply(*objects: Mapping[str, Any]) -> None:
    """Create or change objects."""
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(items))


def get(kind: str, name: str, *, namespace: str) -> dict[str, Any] | None:
    """Return an object, or None where there is none."""
    printed = kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
    return json.loads(printed) if printed else None


def items(kind: str, *, namespace: str, labels: str = "") -> list[dict[str, Any]]:
    """Return all objects of a kind that carry the labels."""
    selector = ["-l", labels] if labels else []
    found: list[dict[str, Any]] = json.loads(kubectl("get", kind, "-n", namespace, *selector, "-o", "json"))["items"]
    return found


def wait_until(look: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Return the first thing that ``look`` finds; fail when it finds none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"not within {seconds} s: {what}")
