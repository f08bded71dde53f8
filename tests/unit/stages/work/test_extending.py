"""A sweep that adds values beyond the edges of its grid: the same trials as those of the longer grid."""

import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.launch.worker import Worker
from peerkd.stages import distill_pairs, partition_data, pretrain_peers
from peerkd.stages.shard_queue import ShardQueue
from peerkd.stages.work import distill_pairs as work
from peerkd.study.extension import MAX_EXTENSIONS

OVERRIDES = (
    "partition.num_peers=2 data.max_train_samples=300 data.max_test_samples=100 pretrain.epochs=2 distill.epochs=1 "
    "peers.architectures=[mlp] sweep.transfer_sets=[student] sweep.temperatures=[2,4] sweep.alphas=[0.3,0.5,0.7] "
    "compute.device=cpu"
)
HERE = Worker(is_in_process=True)


def config(more: str = "sweep.extend=true") -> ExperimentConfig:
    return resolve(JOINTKD, preset="digits", overrides=f"{OVERRIDES} {more}")


@dataclass
class Prepared:
    """A store with peers."""

    root: Path
    peers: Manifest

    def sweep(self, folder: Path, settings: ExperimentConfig, *workers: Worker) -> Manifest:
        """Return the artifact of a sweep in a copy of the store."""
        if not folder.exists():
            shutil.copytree(self.root, folder)
        store = FilesystemStore(folder)
        threads = [
            threading.Thread(target=work.perform, args=(settings, self.peers, FilesystemStore(folder), worker))
            for worker in workers[1:]
        ]
        for thread in threads:
            thread.start()
        work.perform(settings, self.peers, store, workers[0] if workers else HERE)
        for thread in threads:
            thread.join()
        found = store.find(distill_pairs.key(settings, self.peers))
        assert found is not None
        return found


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    root = tmp_path_factory.mktemp("store")
    store = FilesystemStore(root)
    partition = partition_data.partition(config(), store, num_processes=0)
    return Prepared(root, pretrain_peers.STAGE.make(config(), partition, store))


@pytest.fixture(scope="module")
def swept(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return prepared.sweep(tmp_path_factory.mktemp("swept") / "store", config())


def values_of(manifest: Manifest) -> str:
    added = manifest.metadata["added"]
    temperatures, alphas = sorted([2.0, 4.0, *added["temperatures"]]), sorted([0.3, 0.5, 0.7, *added["alphas"]])
    return f"sweep.temperatures={temperatures} sweep.alphas={alphas}".replace(", ", ",")


def test_the_trials_are_those_of_a_sweep_of_the_longer_grid(
    prepared: Prepared, swept: Manifest, tmp_path: Path
) -> None:
    added = swept.metadata["added"]
    assert added["temperatures"] or added["alphas"]
    assert len(added["alphas"]) <= 2 * MAX_EXTENSIONS
    assert added["learning_rates"] == []
    whole = prepared.sweep(tmp_path / "store", config(values_of(swept)))
    assert "added" not in whole.metadata
    assert whole.metadata["fingerprint"] == swept.metadata["fingerprint"]
    assert whole.key != swept.key


def test_a_sweep_that_was_stopped_in_an_extension_continues_to_the_same_trials(
    prepared: Prepared, swept: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_first = 2 * 7 + 2  # Two pairs with six settings and the default, and two controls.
    add_record, identities = ShardQueue.add_record, []

    def stop_in_the_extension(queue, claimed, record, *names, **options):  # type: ignore[no-untyped-def]
        add_record(queue, claimed, record, *names, **options)
        identities.append((record["student"], record["temperature"], record["alpha"]))
        if len(identities) == num_first + 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(ShardQueue, "add_record", stop_in_the_extension)
    with pytest.raises(KeyboardInterrupt):
        prepared.sweep(tmp_path / "store", config())
    again = prepared.sweep(tmp_path / "store", config())
    assert again.metadata["fingerprint"] == swept.metadata["fingerprint"]
    assert again.metadata["added"] == swept.metadata["added"]
    # No trial is trained twice.
    assert len(identities) == len(set(identities)) == swept.metadata["num_trials"]


def test_a_damaged_plan_of_an_extension_is_made_again(
    prepared: Prepared, swept: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_record = ShardQueue.add_record

    def stop_at_the_first_record(queue, claimed, record, *names, **options):  # type: ignore[no-untyped-def]
        add_record(queue, claimed, record, *names, **options)
        if claimed.shard.name.startswith("extension-"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ShardQueue, "add_record", stop_at_the_first_record)
        with pytest.raises(KeyboardInterrupt):
            prepared.sweep(tmp_path / "store", config())
    (path,) = (tmp_path / "store").glob("distill_pairs/*.partial/scratch/extension-1.json")
    path.write_text(path.read_text().replace("0.", "1."))
    assert prepared.sweep(tmp_path / "store", config()).metadata["fingerprint"] == swept.metadata["fingerprint"]


def test_two_workers_make_the_same_extensions(prepared: Prepared, swept: Manifest, tmp_path: Path) -> None:
    workers = [Worker(index=index, num_workers=2, run_id="a", is_in_process=True) for index in range(2)]
    together = prepared.sweep(tmp_path / "store", config(), *workers)
    assert together.metadata["fingerprint"] == swept.metadata["fingerprint"]
    assert together.metadata["added"] == swept.metadata["added"]


def test_the_key_depends_on_the_choice_only_where_the_grid_does(prepared: Prepared) -> None:
    def key(more: str) -> str:
        return distill_pairs.key(config(more), prepared.peers)

    by_own = "sweep.selection_metric=own_accuracy"
    assert key("") == key("sweep.extend=false") == key(by_own) != key("sweep.extend=true")
    assert key("sweep.extend=true") != key(f"sweep.extend=true {by_own}")


def test_a_tuned_study_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^sweep\.extend must be false when strategy is tune, .* got true\.$"):
        partition_data.partition(config(), FilesystemStore(tmp_path), strategy="tune")
    assert not list(tmp_path.iterdir())
