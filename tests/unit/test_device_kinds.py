"""The table of devices, beside the field that names them."""

from typing import get_args

from peerkd.config.peer_experiment import ComputeConfig
from peerkd.device_kinds import DEVICE_KINDS


def test_each_device_of_the_config_is_described() -> None:
    choices = get_args(ComputeConfig.model_fields["device"].annotation)
    assert {"auto", *DEVICE_KINDS} == set(choices)


def test_auto_prefers_gpus_and_ends_with_the_cpu() -> None:
    assert list(DEVICE_KINDS) == ["cuda", "mps", "cpu"]
