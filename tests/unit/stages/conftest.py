"""Tuned studies, and a store like S3: every worker has a folder, and sees only the files that others save."""

import hashlib
import shutil
from pathlib import Path

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import Workspace
from peerkd.launch.worker import Worker
from peerkd.stages import partition_data, tune_pairs
from peerkd.stages.work import pretrain_peers
from peerkd.stages.work import tune_pairs as work
from peerkd.tuning import pair_tuner
from tests import tuners
from tests.tuned_studies import Study, config


class Remote:
    """The saved files by name, with versions. Its lists can be made outdated."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.files: dict[str, bytes] = {}
        self.num_saves: dict[str, int] = {}
        self.lists: list[str] = []
        """The prefixes of all lists that were requested."""

        self.before_save = lambda name: None

    def workspace(self, name: str) -> Workspace:
        folder = self._root / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "scratch").mkdir(parents=True)
        return RemoteWorkspace(folder, self)


class RemoteWorkspace:
    def __init__(self, folder: Path, remote: Remote) -> None:
        self.folder, self._remote = folder, remote

    def save(self, *names: str, is_replaceable: bool = False) -> None:
        for name in names:
            self._remote.before_save(name)
            self._remote.files[name] = (self.folder / name).read_bytes()
            self._remote.num_saves[name] = self._remote.num_saves.get(name, 0) + 1

    def load(self, name: str) -> bool:
        if name not in self._remote.files:
            return False
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(self._remote.files[name])
        return True

    def discard(self, *names: str) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
            self._remote.files.pop(name, None)

    def saved(self, prefix: str) -> dict[str, str]:
        self._remote.lists.append(prefix)
        return {
            name: f"{hashlib.sha256(content).hexdigest()}"
            for name, content in dict(self._remote.files).items()
            if name.startswith(prefix)
        }


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path / "workers")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store that contains the peers."""
    root = tmp_path_factory.mktemp("store")
    store = FilesystemStore(root)
    partition = partition_data.partition(config(), store)
    pretrain_peers.perform(config(), partition, store, Worker())
    return root


@pytest.fixture(scope="module")
def tuned(trained, tmp_path_factory):
    """Return a function that runs a tuned study in a separate store."""

    def tune(more=""):
        root = tmp_path_factory.mktemp("study") / "store"
        shutil.copytree(trained, root)
        store = FilesystemStore(root)
        (folder,) = (path.parent for path in root.glob("pretrain_peers/*/manifest.json"))
        peers = store.find(f"pretrain_peers/{folder.name}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pair_tuner, "build", tuners.build)
            work.perform(config(more), peers, store, Worker())
        return Study(store, store.find(tune_pairs.key(config(more), peers)))

    return tune
