import json

import torch

from peerkd.models.build import build_network
from peerkd.models.sizes import count_values, value_counts
from peerkd.training import file_sizes


def test_the_coefficients_of_an_mlp_follow_from_its_layers() -> None:
    # Layers of 64 units: inputs * 64 + 64, 64 * 64 + 64 and 64 * classes + classes values, in six tensors.
    assert value_counts("mlp") == {
        "always": 64 + 64 * 64 + 64,
        "per_channel": 0,
        "per_value": 64,
        "per_class": 65,
        "num_tensors": 6,
    }


def test_the_coefficients_of_a_cnn_are_those_of_the_committed_file() -> None:
    committed = json.loads(file_sizes.NETWORK_SIZES.read_bytes())
    assert value_counts("small_cnn") == committed["small_cnn"]
    assert committed["small_cnn"]["per_channel"] == 16 * 3 * 3


def test_values_are_counted_as_in_a_network_in_memory_without_allocating_one() -> None:
    state = build_network("small_cnn", image_shape_CHW=(3, 8, 8), num_classes=10, seed=0).state_dict()
    num_counters = sum(not tensor.is_floating_point() for tensor in state.values())
    before = torch.random.get_rng_state()
    assert count_values("small_cnn", (3, 8, 8), 10) == (
        sum(tensor.numel() for tensor in state.values()) - num_counters,
        len(state),
    )
    assert torch.equal(torch.random.get_rng_state(), before)
