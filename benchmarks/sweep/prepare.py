"""The inputs of all contestants: a data set, its partition and pre-trained peers, made by the stages of peerkd."""

import contextlib
import sys
from pathlib import Path

from benchmarks.sweep.images import write_synthetic
from benchmarks.sweep.workloads import SYNTHETIC_NAME
from peerkd.artifacts import references
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.config.experiment import ExperimentConfig
from peerkd.launch.worker import Worker
from peerkd.stages import partition_data, pretrain_peers
from peerkd.training.inputs import SweepInputs


def prepare(config: ExperimentConfig, folder: Path, *, device: str) -> SweepInputs:
    """Create the inputs that the folder lacks, and return their places. Progress goes to standard error."""
    if config.data.path == SYNTHETIC_NAME:
        config = _with_synthetic_images(config, folder)
    compute = config.compute.model_copy(update={"device": device})
    config = config.model_copy(update={"compute": compute})
    store = FilesystemStore(folder / "store")
    with contextlib.redirect_stdout(sys.stderr):
        partition = partition_data.partition(config, store)
        pretrain_peers.STAGE.work(config, partition, store, Worker())
    peers = store.find(pretrain_peers.key(config, partition))
    assert peers is not None
    return SweepInputs(
        config=config,
        dataset_folder=store.fetch(references.follow(partition.metadata["inputs"]["dataset"], store).key),
        partition_folder=store.fetch(partition.key),
        peers_folder=store.fetch(peers.key),
        device=device,
    )


def _with_synthetic_images(config: ExperimentConfig, folder: Path) -> ExperimentConfig:
    num_train, num_test = config.data.max_train_samples, config.data.max_test_samples
    assert num_train is not None
    assert num_test is not None
    path = folder / f"{num_train}-{num_test}-{SYNTHETIC_NAME}"
    if not path.exists():
        write_synthetic(path, num_train=num_train, num_test=num_test)
    return config.model_copy(update={"data": config.data.model_copy(update={"path": str(path)})})
