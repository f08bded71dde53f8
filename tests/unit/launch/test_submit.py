"""Against a real HTTP server on this machine, through the real client."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.package import read_package
from peerkd.launch.submit import CANCELED, FAILED, SUCCEEDED, UNFINISHED, Ending, PipelineServer, watch
from tests.kfp_server import RUN_ID, PipelineApi, serving

PACKAGE = read_package(Path(__file__).parents[3] / "pipelines" / "jointkd.yaml")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PipelineApi]:
    # kfp keeps a context in the home folder.
    monkeypatch.setenv("HOME", str(tmp_path))
    with serving() as api:
        yield api


@pytest.fixture
def server(api: PipelineApi) -> PipelineServer:
    return PipelineServer(api.endpoint + "/")


class Time:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def wait(server: PipelineServer, *, told: list[str] | None = None, time: Time | None = None, **more: Any) -> Ending:
    time = time or Time()
    tell = [].append if told is None else told.append
    return watch(server, RUN_ID, tell=tell, clock=time.clock, sleep=time.sleep, **more)


def task(name: str, state: str | None = "FAILED", **more: Any) -> dict[str, Any]:
    return {"task_id": f"jointkd-x7-{abs(hash(name)) % 10**9}", "display_name": name, "state": state, **more}


def test_a_run_is_sent_with_its_arguments_account_and_both_documents(
    api: PipelineApi, server: PipelineServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {"num_workers": "2", "overrides": "seed=3"}
    run_id = server.submit(PACKAGE, arguments, experiment="studies", name="mine", service_account="peerkd-launcher")
    assert run_id == RUN_ID
    (run,) = api.runs
    assert run["runtime_config"]["parameters"] == arguments
    assert (run["display_name"], run["service_account"]) == ("mine", "peerkd-launcher")
    assert run["experiment_id"] == "experiment-0"
    assert [each["display_name"] for each in api.experiments] == ["studies"]
    assert run["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == "jointkd"
    assert "kubernetes" in run["pipeline_spec"]["platform_spec"]["platforms"]
    assert capsys.readouterr() == ("", "")


def test_an_experiment_that_is_there_is_used_again(api: PipelineApi, server: PipelineServer) -> None:
    api.experiments.append({"experiment_id": "old", "display_name": "studies"})
    server.submit(PACKAGE, {}, experiment="studies", name="mine")
    assert len(api.experiments) == 1
    assert api.runs[0]["experiment_id"] == "old"


def test_the_token_is_sent(api: PipelineApi) -> None:
    api.answers = [{"state": "SUCCEEDED"}]
    wait(PipelineServer(api.endpoint, token="secret"))
    assert "Bearer secret" in api.tokens


def test_a_refused_run_is_told_in_the_servers_words(api: PipelineApi, server: PipelineServer) -> None:
    api.refusal = (400, {"error": "Invalid input error: gpus must be a string"})
    with pytest.raises(ClusterRefusedError, match=r"refused: Invalid input error: gpus must be a string") as caught:
        server.submit(PACKAGE, {}, experiment="studies", name="mine")
    assert caught.value.status == 400


def test_a_server_that_wants_a_namespace_says_so(api: PipelineApi, server: PipelineServer) -> None:
    api.refusal = (400, {"error": "A run must have a Namespace"})
    with pytest.raises(ClusterRefusedError, match=r"Is a namespace wanted\?$"):
        server.submit(PACKAGE, {}, experiment="studies", name="mine")


def test_nobody_at_the_endpoint_is_told_at_once() -> None:
    with pytest.raises(
        ClusterUnavailableError, match=r"^No Kubeflow Pipelines server answers at http://127\.0\.0\.1:9:"
    ):
        PipelineServer("http://127.0.0.1:9")


@pytest.mark.parametrize("endpoint", ["", "localhost:8080"])
def test_an_endpoint_is_an_address(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"^endpoint must be the http:// or https:// address"):
        PipelineServer(endpoint)


@pytest.mark.parametrize(
    ("states", "outcome"),
    [
        (["PENDING", "RUNNING", "SUCCEEDED"], SUCCEEDED),
        (["SKIPPED"], SUCCEEDED),
        (["RUNNING", "FAILED"], FAILED),
        (["ERROR"], FAILED),
        (["RUNNING", "CANCELED"], CANCELED),
        # What a stock server does with a run that was terminated.
        (["RUNNING", "CANCELING", "FAILED"], CANCELED),
        ([None, "RUNNING", "SUCCEEDED"], SUCCEEDED),
    ],
)
def test_every_end_is_an_end(api: PipelineApi, server: PipelineServer, states: list[str | None], outcome: str) -> None:
    api.answers = [{"state": state} for state in states]
    told: list[str] = []
    assert wait(server, told=told).outcome == outcome
    assert told == [state or "PENDING" for state in states]


def test_questions_come_less_and_less_often_while_nothing_changes(api: PipelineApi, server: PipelineServer) -> None:
    api.answers = [*[{"state": "RUNNING"}] * 8, {"state": "SUCCEEDED"}]
    time, told = Time(), list[str]()
    wait(server, told=told, time=time)
    assert time.pauses == [2.0, 3.0, 4.5, 6.75, 10.125, 15.0, 15.0, 15.0]
    assert told == ["RUNNING", "SUCCEEDED"]


def test_an_outage_is_waited_out(api: PipelineApi, server: PipelineServer) -> None:
    api.answers = [{"state": "RUNNING"}, 503, 503, {"state": "SUCCEEDED"}]
    told: list[str] = []
    assert wait(server, told=told).outcome == SUCCEEDED
    assert told == ["RUNNING", "the server does not answer; still waiting", "SUCCEEDED"]


def test_a_long_outage_is_not(api: PipelineApi, server: PipelineServer) -> None:
    api.answers = [{"state": "RUNNING"}, 503]
    time = Time()
    with pytest.raises(ClusterUnavailableError):
        wait(server, time=time)
    assert 600 < time.now < 630


def test_a_run_that_takes_too_long_goes_on(api: PipelineApi, server: PipelineServer) -> None:
    api.answers = [{"state": "RUNNING"}]
    ending = wait(server, timeout_seconds=60)
    assert ending == Ending(UNFINISHED, f"The run {RUN_ID} has not ended after 60 s and goes on.")


def test_a_failed_run_names_the_task_that_failed_first_and_its_last_words(
    api: PipelineApi, server: PipelineServer
) -> None:
    pod = {"task_id": "jointkd-x7-2222", "display_name": "executor", "state": "FAILED", "parent_task_id": "parent"}
    later = task("build-report", end_time="2026-11-21T11:00:00Z")
    graph = task("jointkd", child_tasks=[{"pod_name": "jointkd-x7-2222"}], end_time="2026-11-21T09:00:00Z")
    parent = {"task_id": "parent", "display_name": "distill-pairs", "state": "FAILED", "child_tasks": [{}]}
    details = [graph, later, parent, {**pod, "end_time": "2026-11-21T10:00:00Z"}, task("driver", None)]
    api.answers = [{"state": "FAILED", "run_details": {"task_details": details}}]
    api.logs["jointkd-x7-system-container-impl-2222"] = (
        "[KFP Executor] noise\n"
        "peerkd | distill_pairs: 3 of 9 trials\n"
        "peerkd | distill_pairs: error: Worker 1 of peerkd-x ran out of memory.\n"
        "Traceback\n"
    )
    assert wait(server) == Ending(
        FAILED, f"The run {RUN_ID} failed in distill-pairs: Worker 1 of peerkd-x ran out of memory."
    )


def test_what_the_server_itself_says_of_a_task_is_told(api: PipelineApi, server: PipelineServer) -> None:
    failed = task("pretrain-peers", state_history=[{"state": "FAILED", "error": {"code": 2, "message": "no image"}}])
    api.answers = [{"state": "FAILED", "run_details": {"task_details": [failed]}}]
    assert wait(server).message == f"The run {RUN_ID} failed in pretrain-peers: no image"


def test_a_failed_run_without_any_words_leads_to_its_page(api: PipelineApi, server: PipelineServer) -> None:
    api.answers = [{"state": "FAILED", "run_details": {"task_details": [task("pretrain-peers")]}}]
    page = f"{api.endpoint}/#/runs/details/{RUN_ID}"
    assert wait(server).message == f"The run {RUN_ID} failed in pretrain-peers. Its page has the logs: {page}"
    api.answers = [{"state": "FAILED"}]
    assert wait(server).message == f"The run {RUN_ID} failed. Its page has the logs: {page}"


def test_a_run_that_is_not_there_is_refused(api: PipelineApi, server: PipelineServer) -> None:
    api.answers = [404]
    with pytest.raises(ClusterRefusedError, match="not now"):
        wait(server)
