import os
from pathlib import Path

from peerkd.config.pcl import PclConfig
from peerkd.training.inputs import RunInputs
from peerkd.training.run_request import RunRequest


def test_a_request_is_read_as_it_was_written(tmp_path: Path) -> None:
    inputs = RunInputs(
        config=PclConfig(seed=3, num_seeds=2),
        dataset_folder=tmp_path / "dataset",
        split_folder=tmp_path / "split",
        networks_folder=tmp_path / "networks",
        checkpoints_folder=tmp_path / "checkpoints",
        device="cpu",
    )
    order = RunRequest.of(inputs, inputs.config.runs[-1])
    order.write(tmp_path / "order.json")
    assert RunRequest.read(tmp_path / "order.json") == order
    assert order.starter_pid == os.getpid()
