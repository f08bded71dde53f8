from pathlib import Path

import pytest
from safetensors.torch import save_file

from peerkd.config.architectures import ARCHITECTURE_FACTS
from peerkd.models.build import build_network
from peerkd.training.file_sizes import weights_bytes


@pytest.mark.parametrize("architecture", ARCHITECTURE_FACTS)
def test_the_size_of_a_file_is_known_without_the_network(architecture: str, tmp_path: Path) -> None:
    for image_shape_CHW, num_classes in (((1, 32, 32), 10), ((3, 64, 64), 100)):
        network = build_network(architecture, image_shape_CHW=image_shape_CHW, num_classes=num_classes, seed=0)
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, tmp_path / "weights")
        expected = (tmp_path / "weights").stat().st_size
        found = weights_bytes(architecture, image_shape_CHW=image_shape_CHW, num_classes=num_classes)
        assert found == pytest.approx(expected, rel=0.01)
