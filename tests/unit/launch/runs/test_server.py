"""Sending a run, against a real HTTP server on this machine."""

from pathlib import Path

import pytest

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.package import read_package
from peerkd.launch.runs.api import Token
from peerkd.launch.runs.server import PipelineServer
from tests.kfp_server import RUN_ID, PipelineApi
from tests.unit.launch.runs.conftest import Time

PACKAGE = read_package(Path(__file__).parents[4] / "pipelines" / "jointkd.yaml")


def send(server: PipelineServer, told: list[str] | None = None) -> str:
    return server.submit(
        PACKAGE, {}, experiment="studies", name="mine", notify=(told if told is not None else []).append
    )


def test_a_run_is_sent_with_its_arguments_account_and_both_documents(api: PipelineApi, server: PipelineServer) -> None:
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


def test_an_experiment_that_exists_is_used_again(api: PipelineApi, server: PipelineServer) -> None:
    api.experiments += [
        {"experiment_id": "other", "display_name": "others"},
        {"experiment_id": "old", "display_name": "studies"},
    ]
    send(server)
    assert len(api.experiments) == 2
    assert api.runs[0]["experiment_id"] == "old"


@pytest.mark.parametrize("fate", ["lost", 500, 502, 504])
def test_a_run_whose_acknowledgement_is_lost_is_found_and_not_sent_again(
    api: PipelineApi, server: PipelineServer, fate: int
) -> None:
    api.runs.append({"display_name": "mine", "description": "Sent by peerkd submit, of another time."})
    api.creations = [fate]
    api.num_lists_without = 2
    told: list[str] = []
    assert send(server, told) == f"00000001{RUN_ID[8:]}"
    assert len(api.runs) == 2
    assert [text.partition(" (")[0] for text in told] == ["waiting for the server"]


def test_a_run_that_was_not_created_is_sent_again_after_a_while(
    api: PipelineApi, server: PipelineServer, time: Time
) -> None:
    api.creations = ["not made"]
    assert send(server) == RUN_ID
    assert len(api.runs) == 1
    assert time.now >= 15


def test_too_many_requests_means_that_no_run_was_created(api: PipelineApi, server: PipelineServer, time: Time) -> None:
    api.refusal = (429, {"error": "slow down"})
    with pytest.raises(ClusterUnavailableError, match=r"slow down \(status 429\); this has lasted for \d+ s"):
        send(server)
    assert (api.num_lists, 60 <= time.now < 75) == (0, True)


def test_an_outcome_that_stays_unknown_is_reported(api: PipelineApi, server: PipelineServer) -> None:
    api.creations = ["lost"]
    server._api.request = _without_lists(server._api.request)  # type: ignore[method-assign]
    with pytest.raises(ClusterUnavailableError, match=r"^It is unknown whether the run mine was created") as caught:
        send(server)
    assert f"{api.endpoint}/#/runs" in str(caught.value)
    assert len(api.runs) == 1


def _without_lists(request):  # type: ignore[no-untyped-def]
    def refusing(method: str, path: str, **more: object) -> object:
        if (method, path) == ("GET", "/apis/v2beta1/runs"):
            raise ClusterUnavailableError("No server answers.")
        return request(method, path, **more)

    return refusing


def test_the_token_is_sent_and_read_again_from_its_file(api: PipelineApi, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    server = PipelineServer(api.endpoint, token=Token(file=file))
    server.run(RUN_ID)
    file.write_text("second\n")
    server.run(RUN_ID)
    file.unlink()
    server.run(RUN_ID)
    PipelineServer(api.endpoint, token=Token(" given\n", file=file)).run(RUN_ID)
    assert api.tokens == {"Bearer first", "Bearer second", "Bearer given"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "token_file must be a file that can be read, got .*: No such file"),
        ("\n", "token_file must contain a token, got the empty file"),
        ("two words", "token must be one line of printable ASCII characters"),
    ],
)
def test_a_token_file_that_cannot_be_used_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=message):
        Token(file=file)


def test_a_refused_run_is_reported_with_the_servers_message(api: PipelineApi, server: PipelineServer) -> None:
    api.refusal = (400, {"error": "Invalid input error: gpus must be a string"})
    with pytest.raises(ClusterRefusedError, match=r"refused: Invalid input error: gpus must be a string") as caught:
        send(server)
    assert caught.value.status == 400


def test_a_server_that_wants_a_namespace_says_so(api: PipelineApi, server: PipelineServer) -> None:
    api.refusal = (400, {"error": "A run must have a Namespace"})
    with pytest.raises(ClusterRefusedError, match=r"Does the server require a namespace\?$"):
        send(server)


def test_an_endpoint_without_a_server_is_reported_at_once(time: Time) -> None:
    with pytest.raises(
        ClusterUnavailableError, match=r"^No Kubeflow Pipelines server answers at http://127\.0\.0\.1:9:"
    ):
        send(PipelineServer("http://127.0.0.1:9", clock=time.clock, sleep=time.sleep))
    assert time.now == 0


@pytest.mark.parametrize("endpoint", ["", "localhost:8080", "http://", "ftp://host"])
def test_an_endpoint_is_an_address(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"^endpoint must be the http:// or https:// address"):
        PipelineServer(endpoint)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="got an address with a password"):
        PipelineServer("http://user:secret@host")
