import subprocess
from pathlib import Path

import pytest

from tests.pipelines.experiments import run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One run that nothing interrupted: its store and what it printed."""
    output = tmp_path_factory.mktemp("finished") / "runs"
    return output, run(output)
