"""A server with the part of Kubeflow Pipelines' API that submitting a run and waiting for it needs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RUN_ID = "0b1a7c52-6f0d-4d63-9a38-3a1d3a7f1c11"


@dataclass
class PipelineApi:
    """What the server was sent, and what it is to answer."""

    endpoint: str = ""
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=lambda: [{"state": "PENDING", "created_at": "2026-11-21T10:00:00Z"}])
    """To questions after the run, one after another, the last for ever: a run's fields, or a status to refuse with."""

    logs: dict[str, str] = field(default_factory=dict)
    """By name of the pod."""

    refusal: tuple[int, dict[str, Any]] | None = None
    """To the creation of a run."""

    tokens: set[str | None] = field(default_factory=set)
    num_questions: int = 0


@contextmanager
def serving() -> Iterator[PipelineApi]:
    """Serve on a free port of this machine."""
    api = PipelineApi()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
    api.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


def _handler(api: PipelineApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api.tokens.add(self.headers.get("Authorization"))
            path = self.path.partition("?")[0]
            match path.strip("/").split("/"):
                case ["apis", "v2beta1", "healthz"]:
                    self._answer(200, {"multi_user": False})
                case ["apis", "v2beta1", "experiments"]:
                    self._answer(200, {"experiments": api.experiments, "total_size": len(api.experiments)})
                case ["apis", "v2beta1", "runs", run_id]:
                    api.num_questions += 1
                    answer = api.answers.pop(0) if len(api.answers) > 1 else api.answers[0]
                    if isinstance(answer, int):
                        self._answer(answer, {"error": "not now"})
                    else:
                        self._answer(200, {"run_id": run_id, **answer})
                case ["apis", "v1alpha1", "runs", _, "nodes", name, "log"] if name in api.logs:
                    self._answer(200, api.logs[name])
                case _:
                    self._answer(404, {"error": f"no {path}"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/experiments"):
                made = {**body, "experiment_id": f"experiment-{len(api.experiments)}"}
                api.experiments.append(made)
                self._answer(200, made)
            elif api.refusal:
                self._answer(*api.refusal)
            else:
                api.runs.append(body)
                self._answer(200, {**body, "run_id": RUN_ID})

        def _answer(self, status: int, body: Any) -> None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
