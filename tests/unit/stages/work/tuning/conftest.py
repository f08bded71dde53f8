from dataclasses import replace

import pytest

from peerkd.stages.work.tuning.space import build_space
from tests.unit.stages.work.tuning.invented import CONFIG, SIZES


@pytest.fixture
def with_controls():
    return build_space(CONFIG, num_train=SIZES, num_public=40, features=None)


@pytest.fixture
def space(with_controls):
    return replace(with_controls, controls=())
