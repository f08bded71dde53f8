"""A cluster that answers what a test says."""

from typing import Any

import pytest

from peerkd.errors import ClusterRefusedError
from peerkd.launch.kubernetes.client import Cluster, Resource

NAMESPACE = "peerkd"


class Answering(Cluster):
    """Knows an answer for each path; to others it says that there is no such thing."""

    def __init__(self) -> None:
        self.namespace, self.address = NAMESPACE, "https://cluster.example"
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, str, Any]] = []

    def _json(self, method: str, path: str, *, query: Any = (), body: Any = None, **_: Any) -> dict[str, Any]:
        self.asked.append((method, path, body))
        answer = self.answers.get(path, ClusterRefusedError(f"there is no {path} (status 404).", status=404))
        answer = answer(body) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def dry_run_warnings(self, resource: Resource, name: str, change: Any) -> tuple[str, ...]:
        assert change == {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        return tuple(self._json("PATCH", f"/api/v1/{resource.plural}/{name}?dryRun=All")["warnings"])

    def forbid(self, path: str) -> None:
        """Let whoever asks not look at this."""
        self.answers[path] = ClusterRefusedError(f"you may not see {path} (status 403).", status=403)


@pytest.fixture
def cluster() -> Answering:
    return Answering()
