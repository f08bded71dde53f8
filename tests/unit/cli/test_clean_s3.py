"""What ``peerkd clean`` deletes from a store in S3, which has no locks."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from peerkd.artifacts.objects import list_objects
from peerkd.artifacts.open import open_store
from peerkd.artifacts.store import ArtifactStore
from peerkd.stages import clean_store
from peerkd.stages.command import find_stage
from tests.s3_proxy import proxy_to
from tests.s3_server import S3Server
from tests.unit.stages.published_runs import SWEEP, begin, experiment, finish, finish_two, go_on, publish, runs_of


@pytest.fixture
def address(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_server.bucket}/{uuid4().hex}"


@pytest.fixture
def store(address: str) -> ArtifactStore:
    return open_store(address)


@pytest.fixture
def clean(peerkd: Any, address: str) -> Callable[..., dict[str, Any]]:
    """Clean the store, and return the facts."""

    def call(*arguments: str) -> dict[str, Any]:
        outcome = peerkd("clean", "--yes", "--json", "--store", address, *arguments)
        assert (outcome.exit_code, outcome.err) == (0, "")
        facts: dict[str, Any] = json.loads(outcome.out)
        return facts

    return call


@pytest.fixture
def everything_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean_store, "_ACTIVE_SECONDS", 0.0)
    monkeypatch.setattr(clean_store, "RECENT_SECONDS", 0.0)


@pytest.mark.usefixtures("everything_is_old")
def test_a_run_goes_with_what_only_it_needs(clean, store: ArtifactStore, address: str) -> None:
    run, others = finish_two(store)
    orphan = publish(store, "dataset/00000000000000ff", name="orphan")
    aside = store.set_aside(publish(store, "pretrain_peers/00000000000000dd").key)
    facts = clean("gone")
    assert facts["runs"] == [run.name]
    kinds = [key.partition("/")[0] for key in facts["artifacts"]]
    assert sorted(kinds) == ["accounts", "accounts", "build_report", "dataset", "distill_pairs", "improve_peers", "run"]
    assert kinds.index("build_report") < kinds.index("improve_peers") < kinds.index("distill_pairs")
    assert list(facts["leftovers"]) == [aside]
    assert set(open_store(address).keys()) == others
    (left,) = runs_of(store)
    assert left.is_finished
    for key in left.artifacts:
        store.verify(key)
    # No object of a deleted artifact is left.
    assert [name for name in list_objects(address, notify=pytest.fail) if orphan.key in name] == []
    assert clean()["artifacts"] == clean()["leftovers"] == {}


def test_what_no_run_needs_is_kept_for_a_day(peerkd, clean, store: ArtifactStore, address: str) -> None:
    finish(store, experiment())
    source = publish(store, "dataset/00000000000000ff", name="begun")
    facts = clean()
    assert (facts["artifacts"], facts["recent"]) == ({}, [source.key])
    outcome = peerkd("clean", "--store", address)
    assert outcome.out.startswith(f"Nothing in {address} can be deleted. Kept: 1 run with ")
    assert "Besides, 1 artifact or workspace that no run is known to need" in outcome.out
    assert "within the last 24 h" in outcome.out


def test_a_run_that_may_be_going_on_is_not_deleted(
    peerkd, clean, store: ArtifactStore, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = experiment()
    peers = go_on(store, config, SWEEP, begin(store, config, SWEEP), num_stages=1)
    key = find_stage("distill_pairs").key(config, peers)
    with store.open_workspace(key) as workspace:
        (workspace.folder / "claim").write_text("heartbeat")
        workspace.save("claim")
    before = store.keys()
    outcome = peerkd("clean", "latest", "--yes", "--store", address)
    assert (outcome.exit_code, outcome.out) == (1, "")
    assert "may be in progress, because something of it has changed within the last 60 min" in outcome.err
    assert clean("--unfinished")["runs"] == []
    assert store.keys() == before
    # An hour later, it goes with its workspace, although a day has not passed.
    monkeypatch.setattr(clean_store, "_ACTIVE_SECONDS", 0.0)
    facts = clean("--unfinished")
    assert len(facts["runs"]) == 1
    assert list(facts["leftovers"]) == [f"{key}.partial"]
    assert open_store(address).keys() == []


@pytest.mark.usefixtures("everything_is_old")
def test_a_store_without_the_right_to_delete_stays_as_it_is(
    peerkd, store: ArtifactStore, address: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, "dataset/00000000000000ff", name="orphan")
    with proxy_to(s3_server.endpoint) as proxy:
        monkeypatch.setenv("PEERKD_S3_ENDPOINT", proxy.endpoint)
        proxy.fail(r"POST .*\?delete", "403", times=1000)
        outcome = peerkd("clean", "--yes", "--unfinished", "--store", address)
    assert outcome.exit_code == 2
    assert "denies these credentials the use of bucket" in outcome.err
    assert store.keys() == ["dataset/00000000000000ff"]
