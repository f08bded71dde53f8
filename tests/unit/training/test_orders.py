import os
from pathlib import Path

from peerkd.config.pcl import PclConfig
from peerkd.training.inputs import RunInputs
from peerkd.training.orders import RunOrder


def test_an_order_survives_its_file(tmp_path: Path) -> None:
    inputs = RunInputs(
        config=PclConfig(seed=3, num_seeds=2),
        dataset_folder=tmp_path / "dataset",
        split_folder=tmp_path / "split",
        networks_folder=tmp_path / "networks",
        checkpoints_folder=tmp_path / "checkpoints",
        device="cpu",
    )
    order = RunOrder.of(inputs, inputs.config.runs[-1])
    order.write(tmp_path / "order.json")
    assert RunOrder.read(tmp_path / "order.json") == order
    assert order.starter_pid == os.getpid()
