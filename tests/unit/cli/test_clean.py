"""What ``peerkd clean`` deletes, and what it keeps."""

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

from peerkd.artifacts import references
from peerkd.artifacts.cleaning import in_use, unused
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.errors import WorkspaceBusyError
from peerkd.launch.invocations.files import invoking, list_invocations, name_run
from peerkd.stages.command import find_stage
from tests.unit.stages.published_runs import (
    SWEEP,
    begin,
    experiment,
    finish,
    finish_two,
    go_on,
    publish,
    report,
    runs_of,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def store(root: Path) -> FilesystemStore:
    return FilesystemStore(root)


def invocation_at(root: Path, key: str) -> None:
    with invoking(root, pipeline="jointkd sweep", experiment="digits", stages=["partition_data"]):
        name_run(key, experiment="digits", skew="dirichlet0.3")


def cleaned(peerkd: Any, *arguments: str) -> dict[str, Any]:
    """Clean, and return the facts."""
    outcome = peerkd("clean", "--yes", "--json", *arguments)
    assert (outcome.exit_code, outcome.err) == (0, "")
    facts: dict[str, Any] = json.loads(outcome.out)
    assert facts["is_deleted"]
    return facts


def test_a_store_without_anything_superfluous_stays_as_it_is(peerkd, store: FilesystemStore) -> None:
    finish(store, experiment())
    before = store.keys()
    outcome = peerkd("clean")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert "can be deleted. Kept: 1 run with " in outcome.out
    assert cleaned(peerkd)["artifacts"] == {}
    assert store.keys() == before


def test_a_run_goes_with_what_only_it_needs(peerkd, store: FilesystemStore, root: Path) -> None:
    run, others = finish_two(store)
    invocation_at(root, run.key)
    facts = cleaned(peerkd, "gone")
    assert facts["runs"] == [run.name]
    kinds = [key.partition("/")[0] for key in facts["artifacts"]]
    assert sorted(kinds) == ["accounts", "accounts", "build_report", "distill_pairs", "improve_peers", "run"]
    # A report precedes the better peers from which it was computed, and these precede the trials.
    assert kinds.index("build_report") < kinds.index("improve_peers") < kinds.index("distill_pairs")
    assert set(store.keys()) == others
    assert list_invocations(root) == []
    (left,) = runs_of(store)
    assert left.is_finished
    for key in left.artifacts:
        store.fetch(key)


def test_what_no_run_needs_goes_without_being_named(peerkd, store: FilesystemStore, root: Path) -> None:
    finish(store, experiment())
    orphan = publish(store, "dataset/00000000000000ff", name="orphan")
    broken = publish(store, "pretrain_peers/00000000000000dd")
    aside = store.set_aside(broken.key)
    (root / f"{orphan.key}.publishing").mkdir()
    facts = cleaned(peerkd)
    assert set(facts["artifacts"]) == {orphan.key}
    assert set(facts["leftovers"]) == {aside, f"{orphan.key}.publishing"}
    assert cleaned(peerkd)["artifacts"] == {}


def test_an_unfinished_run_keeps_its_work_until_it_is_named(peerkd, store: FilesystemStore, root: Path) -> None:
    config = experiment()
    peers = go_on(store, config, SWEEP, begin(store, config, SWEEP), num_stages=1)
    work = root / f"{find_stage('distill_pairs').key(config, peers)}.partial"
    work.mkdir(parents=True)
    (work / "trials.jsonl").write_text("{}\n")
    assert cleaned(peerkd)["leftovers"] == {}
    assert work.is_dir()
    facts = cleaned(peerkd, "latest")
    assert set(facts["leftovers"]) == {work.relative_to(root).as_posix()}
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_unfinished_runs_go_together_and_finished_ones_stay(peerkd, store: FilesystemStore, root: Path) -> None:
    finish(store, experiment("name=finished"))
    before = set(store.keys())
    begin(store, experiment("name=first seed=1"), SWEEP)
    begin(store, experiment("name=second seed=2"), SWEEP)
    unknown = root / "distill_pairs/00000000000000ee.partial"
    unknown.mkdir(parents=True)
    assert cleaned(peerkd)["leftovers"] == {}
    facts = cleaned(peerkd, "--unfinished")
    assert {name.partition("-")[0] for name in facts["runs"]} == {"first", "second"}
    assert not unknown.exists()
    assert set(store.keys()) == before


def test_artifacts_from_which_a_kept_run_starts_are_kept(peerkd, store: FilesystemStore) -> None:
    first = experiment("name=first")
    finish(store, first)
    peers = next(key for key in store.keys() if key.startswith("pretrain_peers/"))  # noqa: SIM118
    begin(store, experiment(f"name=second seed=1 peers.from={peers}"), SWEEP)
    facts = cleaned(peerkd, "first")
    assert peers not in facts["artifacts"]
    assert peers in store.keys()  # noqa: SIM118
    assert any(key.startswith("build_report/") for key in facts["artifacts"])


def test_nothing_is_deleted_while_a_run_is_going_on(peerkd, store: FilesystemStore, root: Path) -> None:
    begin(store, experiment(), SWEEP)
    before = store.keys()
    with in_use(root):
        outcome = peerkd("clean", "latest", "--yes")
    assert (outcome.exit_code, outcome.out) == (1, "")
    assert outcome.err.startswith("peerkd: A run is in progress in ")
    # A worker on another machine holds only the lock of its workspace.
    with store.open_workspace("pretrain_peers/00000000000000aa"):
        assert peerkd("clean", "latest", "--yes").exit_code == 1
    assert store.keys() == before


def test_no_run_begins_during_a_deletion(root: Path) -> None:
    root.mkdir()
    with unused(root), pytest.raises(WorkspaceBusyError, match="peerkd clean is at work"), in_use(root):
        pass
    with in_use(root), in_use(root):
        pass


def test_a_file_system_without_locks_for_folders_stops_no_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with in_use(root):
        pass


def test_without_a_terminal_and_without_yes_nothing_is_deleted(peerkd, store: FilesystemStore) -> None:
    begin(store, experiment(), SWEEP)
    before = store.keys()
    outcome = peerkd("clean", "latest")
    assert outcome.exit_code == 0
    assert "  the run digits-dirichlet0.3-" in outcome.out
    assert "In all " in outcome.out
    assert "nothing is deleted, because nobody can be asked" in outcome.err
    facts = json.loads(peerkd("clean", "latest", "--json").out)
    assert (facts["is_deleted"], store.keys()) == (False, before)


def test_a_damaged_manifest_must_be_set_aside_first(peerkd, store: FilesystemStore, root: Path) -> None:
    finish(store, experiment())
    manifest = next(root.glob("pretrain_peers/*/manifest.json"))
    manifest.write_text(manifest.read_text().replace("num_bytes", "num_bits", 1))
    outcome = peerkd("clean", "--yes")
    assert (outcome.exit_code, outcome.out) == (1, "")
    assert "peerkd store set-aside" in outcome.err


def test_the_report_on_several_studies_is_kept_with_all_of_them(peerkd, store: FilesystemStore) -> None:
    reports = []
    for seed in (0, 1):
        config = experiment(f"name=seed-{seed} seed={seed}")
        last = go_on(store, config, SWEEP, begin(store, config, SWEEP), num_stages=3)
        reports.append(report(store, config, SWEEP, last, key=f"build_report/00000000000000a{seed}"))
    comparison = "compare_studies/00000000000000cc"
    publish(store, comparison, inputs={"reports": [references.reference(each) for each in reports]})
    assert cleaned(peerkd)["artifacts"] == {}
    assert comparison in cleaned(peerkd, "seed-1")["artifacts"]
