"""A tiny experiment on real digits, in folders as the stages leave them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.data.dataset import RawDataset
from peerkd.data.packed import write_packed
from peerkd.stages.dataset import read_dataset
from peerkd.stages.division import divide
from peerkd.study.transfer_sets import TRANSFER_SETS
from peerkd.training.inputs import PretrainInputs, SweepInputs
from peerkd.training.peers import start, weights_name

TINY = (
    "partition.num_peers=3 pretrain.epochs=4 distill.epochs=2 sweep.temperatures=[1,4] sweep.alphas=[0.5,0.9] "
    f"partition.public_fraction=0.1 sweep.transfer_sets=[{','.join(TRANSFER_SETS)}] "
    "augmentation.crop_padding_pixels=1 augmentation.horizontal_flip=true data.max_train_samples=360 "
    "data.max_test_samples=120"
)


@dataclass(frozen=True)
class TinyExperiment:
    config: ExperimentConfig
    raw: RawDataset
    dataset: Path
    partition: Path
    peers: Path

    @property
    def sweep_inputs(self) -> SweepInputs:
        return SweepInputs(
            config=self.config,
            dataset_folder=self.dataset,
            partition_folder=self.partition,
            peers_folder=self.peers,
            device="cpu",
        )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyExperiment:
    """Three peers of three architectures, trained for four epochs."""
    config = resolve(JOINTKD, preset="digits", overrides=f"{TINY} peers.architectures=[mlp,small_cnn,resnet20]")
    folder = tmp_path_factory.mktemp("tiny")
    raw = read_dataset("partition_data", config.data, seed=config.seed)
    assert isinstance(raw, RawDataset)
    experiment = TinyExperiment(config, raw, folder / "dataset", folder / "partition", folder / "peers")
    for part in (experiment.dataset, experiment.partition, experiment.peers):
        part.mkdir()
    write_packed(experiment.dataset, raw)
    divide(config, raw).save(experiment.partition)
    inputs = PretrainInputs(
        config=config,
        dataset_folder=experiment.dataset,
        partition_folder=experiment.partition,
        weights_folder=experiment.peers,
        checkpoints_folder=folder,
        device="cpu",
    )
    train = start(inputs, process_index=0)
    for peer in range(config.partition.num_peers):
        list(train(peer))
    assert (experiment.peers / weights_name(0)).is_file()
    return experiment
