"""A server with the part of the API of Kubeflow Pipelines that submitting and watching a run needs.

Its answers have the form of those of a real server, which are in ``tests/kfp_answers``.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

RUN_ID = "0b1a7c52-6f0d-4d63-9a38-3a1d3a7f1c11"
ANSWERS = Path(__file__).parent / "kfp_answers"
CUT: Final = "cut"
"""A mark for closing the connection instead of answering."""

LOGIN_PAGE: Final = "<!DOCTYPE html><html><head><title>Log in</title></head></html>"


def recorded(name: str) -> dict[str, Any]:
    """Return a run in the form of a real server."""
    run: dict[str, Any] = json.loads((ANSWERS / f"{name}.json").read_text())
    return run


@dataclass
class PipelineApi:
    """The requests that the server received, and the answers that it gives."""

    endpoint: str = ""
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=lambda: [{"state": "PENDING", "created_at": "2026-11-21T10:00:00Z"}])
    """The answers to successive requests for the run; the last one is repeated. An answer is the fields of a run, a
    status, a text that is not JSON, a status with such a text, or CUT."""

    creations: list[Literal["made", "lost", "not made"] | int] = field(default_factory=list)
    """The outcomes of successive requests to create a run, then "made". lost: the run is created, and its answer lost.
    not made: the connection is closed before. A status: the run is created, and the answer has this status."""

    num_lists_without: int = 0
    """The number of lists of runs that do not contain the newest run yet."""

    logs: dict[str, str] = field(default_factory=dict)
    """Logs by the name of the pod."""

    terminated: list[str] = field(default_factory=list)
    """The ids of the runs that were terminated."""

    refusal: tuple[int, dict[str, Any]] | None = None
    """The answer to the creation of a run."""

    tokens: set[str | None] = field(default_factory=set)
    valid_token: str | None = None
    """The accepted token. If it is set, requests for a run with another token are answered with 401."""

    num_questions: int = 0
    num_lists: int = 0


@contextmanager
def serving() -> Iterator[PipelineApi]:
    """Serve on a free port of this machine."""
    api = PipelineApi()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
    api.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


def _handler(api: PipelineApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api.tokens.add(self.headers.get("Authorization"))
            address = urlsplit(self.path)
            match address.path.strip("/").split("/"):
                case ["apis", "v2beta1", "healthz"]:
                    self._answer(200, {"multi_user": False})
                case ["apis", "v2beta1", "experiments"]:
                    named = _named(api.experiments, address.query)
                    self._answer(200, {"experiments": named, "total_size": len(named)} if named else {})
                case ["apis", "v2beta1", "runs"]:
                    api.num_lists += 1
                    there = api.runs[:-1] if api.num_lists <= api.num_lists_without else api.runs
                    named = _named([self._told(run) for run in reversed(there)], address.query)
                    self._answer(200, {"runs": named, "total_size": len(named)} if named else {})
                case ["apis", "v2beta1", "runs", run_id]:
                    api.num_questions += 1
                    if api.valid_token and self.headers.get("Authorization") != f"Bearer {api.valid_token}":
                        self._refuse(401, "Unauthenticated: token expired")
                        return
                    answer = api.answers.pop(0) if len(api.answers) > 1 else api.answers[0]
                    match answer:
                        case "cut":
                            self._cut()
                        case int():
                            self._refuse(answer, "not now")
                        case str():
                            self._answer(200, answer)
                        case (status, str() as text):
                            self._answer(status, text)
                        case _:
                            self._answer(200, {**answer, "run_id": run_id})
                case ["apis", "v1alpha1", "runs", _, "nodes", name, "log"] if name in api.logs:
                    self._answer(200, api.logs[name])
                case _:
                    self._refuse(404, f"no {address.path}")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith(":terminate"):
                api.terminated.append(self.path.rpartition("/")[2].removesuffix(":terminate"))
                self._answer(200, {})
            elif self.path.endswith("/experiments"):
                if _named(api.experiments, "", name=body["display_name"]):
                    self._refuse(409, "Already exist error")
                    return
                made = {**body, "experiment_id": f"experiment-{len(api.experiments)}"}
                api.experiments.append(made)
                self._answer(200, made)
            elif api.refusal:
                self._answer(*api.refusal)
            else:
                fate = api.creations.pop(0) if api.creations else "made"
                if fate == "not made":
                    self._cut()
                    return
                api.runs.append(body)
                if fate == "lost":
                    self._cut()
                elif isinstance(fate, int):
                    self._refuse(fate, "Internal Server Error")
                else:
                    self._answer(200, self._told(body))

        def _told(self, run: dict[str, Any]) -> dict[str, Any]:
            number = next(index for index, each in enumerate(api.runs) if each is run)
            run_id = RUN_ID if number == 0 else f"{number:08d}{RUN_ID[8:]}"
            return {**run, "run_id": run_id, "storage_state": "AVAILABLE", "state": "PENDING"}

        def _refuse(self, status: int, reason: str) -> None:
            self._answer(status, {"error": reason, "code": 13, "message": reason, "details": []})

        def _answer(self, status: int, body: Any) -> None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _cut(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _named(listed: list[dict[str, Any]], query: str, *, name: str = "") -> list[dict[str, Any]]:
    """Return the runs with the display name that a filter requests."""
    asked = parse_qs(query).get("filter")
    if asked:
        (predicate,) = json.loads(asked[0])["predicates"]
        name = predicate["stringValue"]
    return [each for each in listed if not name or each.get("display_name") == name]
