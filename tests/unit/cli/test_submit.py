"""The command, and kfp's own command, with a server on this machine."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from peerkd.launch.package import read_package
from peerkd.launch.runs.server import PipelineServer
from tests.kfp_server import RUN_ID, PipelineApi, recorded, serving

ROOT = Path(__file__).parents[3]
PIPELINE = str(ROOT / "pipelines" / "jointkd.yaml")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PipelineApi]:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in list(os.environ):
        if name.startswith(("KFP_", "KF_PIPELINES")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("peerkd.launch.runs.watch._FIRST_PAUSE_SECONDS", 0.01)
    with serving() as api:
        monkeypatch.setenv("KFP_ENDPOINT", api.endpoint)
        yield api


def test_a_pipeline_is_sent_and_not_waited_for(peerkd, api: PipelineApi) -> None:
    outcome = peerkd("submit", PIPELINE, "preset=cifar10_small", "overrides=data.path=/data seed=3", "num_workers=2")
    assert outcome.exit_code == 0, outcome.err
    assert outcome.out == f"run {RUN_ID}: sent; {api.endpoint}/#/runs/details/{RUN_ID}\n"
    (run,) = api.runs
    assert run["runtime_config"]["parameters"] == {
        "preset": "cifar10_small",
        "overrides": "data.path=/data seed=3",
        "num_workers": "2",
    }
    assert run["display_name"] == "jointkd"
    assert [each["display_name"] for each in api.experiments] == ["peerkd"]
    assert api.num_questions == 0


def test_the_options_reach_the_server(peerkd, api: PipelineApi) -> None:
    image = "registry.example/control@sha256:0"
    options = ("--experiment", "e", "--name", "n", "--service-account", "peerkd-launcher", "--image", image)
    assert peerkd("submit", PIPELINE, *options).exit_code == 0
    (run,) = api.runs
    assert (run["display_name"], run["service_account"]) == ("n", "peerkd-launcher")
    executors = run["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert {each["container"]["image"] for each in executors.values()} == {image}


def test_without_the_cache_every_task_runs(peerkd, api: PipelineApi) -> None:
    for options, cached in (((), ["partition-data"]), (("--no-cache",), [])):
        assert peerkd("submit", PIPELINE, *options).exit_code == 0
        tasks = api.runs[-1]["pipeline_spec"]["pipeline_spec"]["root"]["dag"]["tasks"]
        assert [name for name, task in tasks.items() if task.get("cachingOptions", {}).get("enableCache")] == cached


def test_a_claim_is_mounted_by_all_tasks(peerkd, api: PipelineApi) -> None:
    outcome = peerkd("submit", PIPELINE, "--claim", "peerkd-store=/mnt/peerkd/", "store=/mnt/peerkd/runs")
    assert outcome.exit_code == 0, outcome.err
    platform = api.runs[-1]["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    mounts = {
        name: [(each["constant"], each["mountPath"]) for each in task["pvcMount"]] for name, task in platform.items()
    }
    mounted = [("peerkd-store", "/mnt/peerkd")]
    assert mounts == {"exec-partition-data": mounted, "exec-train-and-report": mounted}


def test_a_right_that_the_operator_does_not_allow_is_not_sent(
    peerkd, api: PipelineApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = "cluster=service_account=trainers"
    outcome = peerkd("submit", PIPELINE, wanted)
    assert outcome.exit_code == 2
    assert "service_account must be peerkd-worker or one of allowed.service_accounts" in outcome.err
    assert api.runs == []
    settings = tmp_path / "cluster.yaml"
    settings.write_text("allowed: {service_accounts: [trainers]}", encoding="utf-8")
    monkeypatch.setenv("PEERKD_CLUSTER_FILE", str(settings))
    assert peerkd("submit", PIPELINE, wanted).exit_code == 0
    assert len(api.runs) == 1


@pytest.mark.parametrize(
    ("states", "exit_code", "told"),
    [
        (["RUNNING", "SUCCEEDED"], 0, ""),
        (["FAILED"], 1, "failed. Its page has the logs: "),
        (["CANCELING", "FAILED"], 3, "was cancelled."),
    ],
)
def test_the_end_of_the_run_is_the_exit_code(
    peerkd, api: PipelineApi, monkeypatch: pytest.MonkeyPatch, states: list[str], exit_code: int, told: str
) -> None:
    api.answers = [{"state": state} for state in states]
    outcome = peerkd("submit", PIPELINE, "--watch")
    assert outcome.exit_code == exit_code
    assert told in outcome.err
    assert f"run {RUN_ID}: {states[-1]}" in outcome.err


def test_a_run_that_the_server_failed_is_sent_again_and_one_that_failed_in_a_stage_is_not(
    peerkd, api: PipelineApi
) -> None:
    of_server, of_stage = recorded("failed-by-a-driver-run-twice"), recorded("failed-by-a-parameter")
    api.answers = [of_server, {"state": "SUCCEEDED"}]
    outcome = peerkd("submit", PIPELINE, "preset=digits", "--watch", "--retry", "2")
    assert outcome.exit_code == 0, outcome.err
    first, second = api.runs
    for field in ("pipeline_spec", "runtime_config", "display_name"):
        assert first[field] == second[field]
    assert "submit: sending the run again (2 of 2 retries left)\n" in outcome.err
    for answer, options, num_sent in ((of_stage, ("--retry", "2"), 1), (of_server, ("--retry", "1"), 2)):
        api.runs.clear()
        api.answers = [answer]
        assert peerkd("submit", PIPELINE, "--watch", *options).exit_code == 1
        assert len(api.runs) == num_sent


def test_a_run_that_does_not_end_in_time_has_its_own_exit_code(peerkd, api: PipelineApi) -> None:
    api.answers = [{"state": "RUNNING"}]
    outcome = peerkd("submit", PIPELINE, "--watch", "--timeout", "0")
    assert outcome.exit_code == 4
    assert f"The run {RUN_ID} has not ended after 0 s and continues: watch it again with " in outcome.err


def test_an_interruption_during_submission_warns_against_submitting_again(
    peerkd, api: PipelineApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(PipelineServer, "submit", interrupt)
    outcome = peerkd("submit", PIPELINE)
    assert outcome.exit_code == 5
    assert outcome.err == (
        "Interrupted while the run jointkd was being sent. Check whether it exists before you send it again: "
        f"{api.endpoint}/#/runs\n"
    )


def test_a_watch_that_ends_before_its_run_has_its_own_exit_code(peerkd, api: PipelineApi) -> None:
    api.answers = [{"state": "RUNNING"}, 401]
    for command in (("submit", PIPELINE, "--watch"), ("watch", RUN_ID)):
        outcome = peerkd(*command, "--patience", "0")
        assert outcome.exit_code == 5
        assert f"No{'t' if command[0] == 'watch' else ' longer'} watching the run {RUN_ID}: " in outcome.err
        assert f"watch it again with `peerkd watch {RUN_ID} --endpoint {api.endpoint}`" in outcome.err


def test_an_interrupted_watch_says_that_the_run_continues(
    peerkd, api: PipelineApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_server: PipelineServer, _run_id: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PipelineServer, "run", interrupt)
    outcome = peerkd("submit", PIPELINE, "--watch")
    assert outcome.exit_code == 5
    assert f"No longer watching the run {RUN_ID}. It continues: watch it again with " in outcome.err
    assert "run the same command again" not in outcome.err


def test_a_run_is_watched_again(peerkd, api: PipelineApi) -> None:
    api.answers = [{"state": "SUCCEEDED"}]
    outcome = peerkd("watch", RUN_ID)
    assert (outcome.exit_code, outcome.err) == (0, f"run {RUN_ID}: SUCCEEDED\n")
    assert outcome.out == f"The run {RUN_ID} succeeded.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["presett=digits"], "presett is not a parameter of jointkd, which has "),
        (["preset=mnist"], "preset must be one of digits, cifar10_small, poster, got mnist."),
        (["overrides=seed=x"], "seed must be a whole number, got "),
        (["gpus=two"], "gpus must be a whole number, got two."),
        (["backend=cloud"], "backend must be one of auto, local, kubernetes, got cloud."),
        (["backend=local", "gpus=1"], "gpus must not be set unless the backend is kubernetes, got 1 with local"),
        (
            ["overrides=compute.device=mps"],
            "compute.device must be auto, cpu or cuda on a cluster, whose pods run Linux",
        ),
        (["strategy=guess"], "strategy must be sweep or tune, got guess."),
        (["overrides=tune.experience=false"], "tune.experience must not be set unless strategy is tune"),
        (["store=/mnt/peerkd"], "store must be s3://bucket/prefix, or a folder on a volume that all pods mount, got"),
        (["--claim", "a"], "claim must be NAME=PATH with an absolute path, such as peerkd-store=/mnt/peerkd, got a."),
        (["--claim", "A_b=/mnt"], "claim must be NAME=PATH with an absolute path, such as peerkd-store=/mnt/peerkd"),
        (
            ["--claim", "a=/"],
            "claim must be NAME=PATH with an absolute path, such as peerkd-store=/mnt/peerkd, got a=/.",
        ),
        (["store=s3:/bucket"], "store must be a folder or s3://bucket/prefix, got s3:/bucket"),
        (["preset=poster", "config_json=seed: -1"], "config_json, line 1, column 7: seed must be at least 0, got -1."),
        (['config_json={"seed": 1, "seed": 2}'], "config_json must be YAML or JSON, got "),
        (["config_json=digits"], "config_json must contain a mapping of keys to values, got "),
        (["cluster=memory=8Gi"], "memory is not a key of the config (did you mean memory_per_worker?), got "),
        (["--timeout", "60"], "--timeout must not be given without --watch, which waits."),
        (["--patience", "60"], "--patience must not be given without --watch, which waits."),
        (["--token", "two words"], "token must be one line of printable ASCII characters without spaces."),
        (["--endpoint", "nowhere"], "endpoint must be the http:// or https:// address of the server, got 'nowhere'."),
    ],
)
def test_arguments_that_would_fail_on_the_cluster_are_refused_before_anything_is_sent(
    peerkd, api: PipelineApi, arguments: list[str], message: str
) -> None:
    outcome = peerkd("submit", PIPELINE, *arguments)
    assert outcome.exit_code == 2
    assert outcome.err.startswith(f"peerkd: {message}")
    assert (api.runs, api.experiments) == ([], [])


def test_a_server_that_refuses_or_is_absent_ends_with_one(
    peerkd, api: PipelineApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.refusal = (400, {"error": "no"})
    outcome = peerkd("submit", PIPELINE)
    assert (outcome.exit_code, outcome.err) == (1, f"peerkd: {api.endpoint} refused: no (status 400).\n")
    monkeypatch.setenv("KFP_ENDPOINT", "http://127.0.0.1:9")
    assert peerkd("submit", PIPELINE).exit_code == 1


def test_a_run_that_has_not_ended_is_terminated(peerkd, api: PipelineApi) -> None:
    outcome = peerkd("stop", RUN_ID)
    assert (outcome.exit_code, outcome.err, api.terminated) == (0, "", [RUN_ID])
    assert f"; {api.endpoint}/#/runs/details/{RUN_ID}\nTo continue, submit the pipeline again" in outcome.out
    api.answers = [{"state": "SUCCEEDED"}]
    outcome = peerkd("stop", RUN_ID)
    assert outcome.err == f"peerkd: RUN must be a run in progress, got {RUN_ID}, which has ended as SUCCEEDED.\n"
    assert api.terminated == [RUN_ID]


def kfp(api: PipelineApi, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell that has read the shipped file."""
    folder = shlex.quote(str(Path(sys.executable).parent))
    script = f"export PATH={folder}:$PATH; . pipelines/kfp.env; {command}"
    return subprocess.run(
        ["sh", "-c", script],
        cwd=ROOT,
        env={**os.environ, "KFP_ENDPOINT": api.endpoint, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", ["jointkd", "pcl", "collaborate"])
def test_kfps_own_command_works_as_typed(api: PipelineApi, name: str) -> None:
    ended = kfp(api, f"kfp run submit -f pipelines/{name}.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (run,) = api.runs
    assert run["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == name
    package = read_package(ROOT / "pipelines" / f"{name}.yaml")
    PipelineServer(api.endpoint).submit(package, {}, experiment="peerkd", name="ours")
    assert api.runs[1]["pipeline_spec"] == run["pipeline_spec"]
    assert [each["display_name"] for each in api.experiments] == ["peerkd"]


def test_kfps_own_command_sends_texts_if_they_are_quoted_as_the_page_says(api: PipelineApi) -> None:
    arguments = """preset=poster 'overrides=seed=3 data.path=/data' 'num_workers="2"' 'gpus="8"'"""
    ended = kfp(api, f"kfp run create -f pipelines/jointkd.yaml {arguments}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert api.runs[0]["runtime_config"]["parameters"] == {
        "preset": "poster",
        "overrides": "seed=3 data.path=/data",
        "num_workers": "2",
        "gpus": "8",
    }
