from pathlib import Path

import pytest
from safetensors.torch import save_file

from peerkd.config.architectures import ARCHITECTURE_FACTS, Architecture
from peerkd.models.build import build_network
from peerkd.models.sizes import count_values
from peerkd.training.file_sizes import weights_bytes

SHAPE_CHW = (3, 48, 64)


@pytest.mark.parametrize("architecture", ["mlp", "small_cnn", "densenet40_12"])
def test_the_size_of_a_file_is_known_without_the_network(architecture: Architecture, tmp_path: Path) -> None:
    network = build_network(architecture, image_shape_CHW=SHAPE_CHW, num_classes=7, seed=0)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, tmp_path / "weights")
    expected = (tmp_path / "weights").stat().st_size
    assert weights_bytes(architecture, image_shape_CHW=SHAPE_CHW, num_classes=7) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("architecture", ARCHITECTURE_FACTS)
def test_the_sizes_are_up_to_date(architecture: Architecture) -> None:
    num_values, num_tensors = count_values(architecture, SHAPE_CHW, 7)
    found = weights_bytes(architecture, image_shape_CHW=SHAPE_CHW, num_classes=7)
    assert found == 4 * num_values + 90 * num_tensors, "A network has changed: run `make sizes` and commit the file."
