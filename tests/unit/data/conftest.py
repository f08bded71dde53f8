from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WriteImages = Callable[[Path, Mapping[str, tuple[int, int]]], None]


@pytest.fixture
def write_images() -> WriteImages:
    """Write noise below a folder: relative path -> (width, height)."""

    def write(root: Path, files: Mapping[str, tuple[int, int]]) -> None:
        rng = np.random.default_rng(0)
        for relative_path, (width, height) in files.items():
            path = root / relative_path
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(256, size=(height, width, 3), dtype=np.uint8)).save(path)

    return write
