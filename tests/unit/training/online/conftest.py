import pytest

from tests.trainings import Training


@pytest.fixture
def training() -> Training:
    return Training()
