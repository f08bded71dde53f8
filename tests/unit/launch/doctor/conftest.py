"""A cluster that gives the answers of a test."""

import json
from typing import Any

import pytest

from peerkd.errors import ClusterRefusedError
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.transport import Transport

NAMESPACE = "peerkd"


class Answers(Transport):
    """The answer for each path. Every other path does not exist."""

    def __init__(self) -> None:
        self.address = "https://cluster.example"
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, str, Any]] = []
        self.queries: list[tuple[str, Any]] = []

    def json(self, method: str, path: str, *, query: Any = (), body: Any = None, **_: Any) -> dict[str, Any]:
        self.asked.append((method, path, body))
        self.queries.append((method, query))
        answer = self.answers.get(path, ClusterRefusedError(f"there is no {path} (status 404).", status=404))
        answer = answer(body) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def warning_headers(self, method: str, path: str, *, query: Any, body: Any, **_: Any) -> list[str]:
        assert body == {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        ((name, value),) = query
        return [f"299 - {json.dumps(text)}" for text in self.json(method, f"{path}?{name}={value}")["warnings"]]


class Answering(Cluster):
    """A cluster that gives the answers of a test."""

    def __init__(self) -> None:
        transport = Answers()
        super().__init__(transport, namespace=NAMESPACE)
        self.answers, self.asked, self.queries = transport.answers, transport.asked, transport.queries

    def forbid(self, path: str) -> None:
        """Answer that reading this path is not allowed."""
        self.answers[path] = ClusterRefusedError(f"you may not see {path} (status 403).", status=403)


@pytest.fixture
def cluster() -> Answering:
    return Answering()
