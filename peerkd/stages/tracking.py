"""The sinks that a config asks for, such as TensorBoard, opened for one stage of a run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peerkd.artifacts import keys
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import ArtifactStore
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.strict import StrictConfig
from peerkd.metrics import recorder
from peerkd.metrics.tracking.recorder import TrackingRecorder
from peerkd.metrics.tracking.sinks import TrackedRun, check_sinks, tracking_folder


def check_tracking(config: PeerExperimentConfig | PclConfig, store: ArtifactStore) -> None:
    """Check that this environment has what the sinks of a config need.

    Raises:
        ValueError: If a package is missing, or a sink that writes files has no folder.
    """
    check_sinks(config.compute.tracking, folder=_folder(store))


@contextmanager
def tracked(
    stage: str, config: StrictConfig, store: ArtifactStore, *, is_first: bool = True
) -> Iterator[TrackingRecorder | None]:
    """Pass the measurements that are reported in the ``with`` block on to the sinks of a config.

    Args:
        stage: The name of the stage.
        config: The whole experiment or study of one seed.
        store: The artifact store.
        is_first: Whether this is the first worker of the stage. Only this worker has sinks.

    Yields:
        The recorder, or None if there are no sinks.
    """
    assert isinstance(config, PeerExperimentConfig | PclConfig)
    sinks = config.compute.tracking
    if not sinks or not is_first:
        yield None
        return
    run = TrackedRun(
        name=run_name(config), stage=stage, config=_flat(config.model_dump(mode="json")), folder=_folder(store)
    )
    tracker = TrackingRecorder(run, sinks)
    try:
        with recorder.also_recording_to(tracker):
            yield tracker
    finally:
        tracker.close()


def run_name(config: PeerExperimentConfig | PclConfig) -> str:
    """Return the name of a run in every sink, which all its stages and attempts share.

    It is the name of the experiment and the beginning of the fingerprint that the report states.
    """
    return f"{config.name}-{keys.fingerprint(keys.differences(config, without=('compute',)))[:8]}"


def _folder(store: ArtifactStore) -> Path | None:
    return tracking_folder(store.root if isinstance(store, FilesystemStore) else None)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
