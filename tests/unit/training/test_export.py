"""What is left of a file that cannot be written; ``tests/unit/stages/test_export_student.py`` tests whole exports."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from peerkd.training.export import _unfinished, _write_safetensors, _write_torch


@pytest.mark.parametrize("write", [_write_safetensors, _write_torch])
def test_an_error_of_the_disk_is_not_the_fault_of_the_format(tmp_path: Path, write: Any) -> None:
    with pytest.raises(FileNotFoundError):
        write(nn.Linear(20, 20), tmp_path / "deleted" / "a", "{}", torch.zeros(1, 20), None)


def test_what_a_killed_attempt_left_is_replaced(tmp_path: Path) -> None:
    with _unfinished(tmp_path / "a.pt2") as path:
        folder = path.parent
    folder.mkdir()
    (folder / "a.pt2").write_text("half")
    with _unfinished(tmp_path / "a.pt2") as path:
        assert path == folder / "a.pt2"
        assert not path.exists()
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []
