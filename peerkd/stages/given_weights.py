"""The weights that a user provides for peers: finding their files, and publishing them in the store."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import ArtifactStore, Manifest, file_sha256
from peerkd.config.given_peers import S3_SCHEME, STORE_SCHEME, WEIGHTS_SUFFIXES, split_store_address
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.sources.folders import not_found
from peerkd.data.wording import listed
from peerkd.errors import DataSourceError
from peerkd.excerpt import plain_path, start_of
from peerkd.stages.given_peers import WEIGHTS
from peerkd.stages.published_peers import find_published
from peerkd.stages.remote_data import download_file

Weights: TypeAlias = Sequence[Path | None]
"""The file of each peer with its weights from a user or an earlier run; None for a peer without such a file. The
sequence is empty if neither provides weights."""


_REMOTE: Final = (S3_SCHEME, STORE_SCHEME)


@contextmanager
def found_weights(config: PeerExperimentConfig, store: ArtifactStore | None, *, stage: str) -> Iterator[Weights]:
    """Find the file with the weights of each peer that a user or an earlier run provides.

    The yielded sequence has None for a peer without weights, and is empty if neither a user nor an earlier run provides
    peers. Objects of a bucket are downloaded into a folder that exists until the end of the ``with`` block.

    Args:
        config: The experiment.
        store: The store of the run. None means that the store is not read, and peers whose weights are in the store
            have None.
        stage: The name of the stage, for messages.

    Raises:
        ValueError: If a file, folder, object or artifact does not exist, or contains no weights.
    """
    if config.peers.from_ is not None:
        published = None if store is None else find_published(config, store)
        yield [None] * len(config.networks) if published is None or store is None else published.fetch_weights(store)
        return
    with tempfile.TemporaryDirectory(prefix="peerkd-") as folder:
        paths: list[Path | None] = []
        for peer, given in enumerate(config.peers.given):
            own_folder = Path(folder) / str(peer)
            try:
                path = None if given.weights is None else _find(given.weights, store, own_folder, stage=stage)
            except ValueError as error:
                raise ValueError(f"peers.given[{peer}].weights: {error}") from error
            paths.append(path)
        yield paths


def check_paths(config: PeerExperimentConfig) -> None:
    """Check that the weights and the data of all peers exist if they are on this machine, before anything is read.

    Raises:
        ValueError: If a file or folder of weights does not exist, or contains no weights.
        DataSourceError: If the data of a peer do not exist.
    """
    for peer, given in enumerate(config.peers.given):
        if given.weights is not None and config.peers.from_ is None and not given.weights.startswith(_REMOTE):
            try:
                _find_file(Path(given.weights).expanduser())
            except ValueError as error:
                raise ValueError(f"peers.given[{peer}].weights: {error}") from error
        if given.data is not None and not given.data.startswith(_REMOTE):
            path = Path(given.data).expanduser()
            if not path.exists():
                raise DataSourceError(f"peers.given[{peer}].data: {plain_path(path)} {not_found(path)}.")


def file_sizes(weights: Weights) -> list[int | None]:
    """Return the size of each file in bytes; None where there is no file."""
    return [None if path is None else path.stat().st_size for path in weights]


def _find(address: str, store: ArtifactStore | None, folder: Path, *, stage: str) -> Path | None:
    if address.startswith(S3_SCHEME):
        folder.mkdir()
        return download_file(stage, address, folder)
    if address.startswith(STORE_SCHEME):
        return None if store is None else _find_in_store(address, store)
    return _find_file(Path(address).expanduser())


def _find_in_store(address: str, store: ArtifactStore) -> Path:
    key, name = split_store_address(address)
    manifest = store.find(key)
    if manifest is None:
        raise ValueError(f"the store must have the artifact {key}, and it has not.")
    files = [each for each in sorted(manifest.files) if each.endswith(WEIGHTS_SUFFIXES)]
    file = name or (files[0] if len(files) == 1 else "")
    if file not in manifest.files:
        raise ValueError(
            f"store:KEY/FILE must name a file of the artifact {key}, which has {listed(files) or 'no weights'}, got "
            f"{plain_path(address.removeprefix(STORE_SCHEME))}."
        )
    return store.fetch(key) / file


def _find_file(path: Path) -> Path:
    """Return the path of a file of weights, or of the only safetensors file in a folder."""
    if path.is_dir():
        files = sorted(each.name for each in path.glob("*.safetensors") if not each.name.startswith("."))
        if len(files) != 1:
            raise ValueError(
                f"a folder must contain one safetensors file, and {plain_path(path)} contains "
                f"{listed(files) if files else 'none'}; name the file."
            )
        return path / files[0]
    if not path.is_file():
        raise ValueError(f"it must be a file or a folder that exists, got {plain_path(path)}{start_of(path)}.")
    if path.suffix not in WEIGHTS_SUFFIXES:
        raise ValueError(f"a file must end in {', '.join(WEIGHTS_SUFFIXES)}, got {plain_path(path)}.")
    return path


def publish_weights(weights: Weights, store: ArtifactStore) -> list[dict[str, str] | None]:
    """Copy the weights into the store, so that every worker can read them; return a reference for each peer.

    The key of the artifact depends only on the content, so weights that several experiments use are stored once.

    Raises:
        ValueError: If a file changes while it is copied.
    """
    return [
        None if path is None else references.reference(_publish(path, store, peer=peer))
        for peer, path in enumerate(weights)
    ]


def _publish(path: Path, store: ArtifactStore, *, peer: int) -> Manifest:
    suffix = ".safetensors" if path.suffix == ".safetensors" else ".pt"
    sha256 = file_sha256(path)
    key = keys.key(WEIGHTS, {"sha256": sha256, "suffix": suffix})
    done = store.find(key)
    if done:
        return done
    with store.open_workspace(key) as workspace:
        copied = workspace.folder / f"{WEIGHTS}{suffix}"
        shutil.copyfile(path, copied)
        # The key stands for the content, so a file that a program is still writing must not get it.
        if file_sha256(copied) != sha256:
            raise ValueError(
                f"peers.given[{peer}].weights must not change while they are read, and {plain_path(path)} has changed; "
                "start the run again once the file is complete."
            )
        return store.publish(key, metadata={"num_bytes": copied.stat().st_size})
