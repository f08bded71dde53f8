"""The 1,797 handwritten digits that are part of scikit-learn: 8x8 grey pixels, without a test split."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from peerkd.data.dataset import RawDataset
from peerkd.errors import DataSourceError

_GREY_STEP = 15  # The levels are 0..16. 16 * 15 = 240 fits into uint8 and keeps them evenly spaced.


def read_digits() -> RawDataset:
    """Read the digits (N = 1797, C = 1, H = W = 8, K = 10).

    Raises:
        DataSourceError: If scikit-learn is not installed.
    """
    # Only the file is read. Importing scikit-learn takes seconds, most of all where pandas is installed too.
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataSourceError(
            "data.source digits needs scikit-learn, which is not installed here; install peerkd[data]."
        )
    rows = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    labels_N = rows[:, -1].astype(np.int64)
    return RawDataset(
        images_NCHW=(rows[:, :-1].reshape(-1, 1, 8, 8) * _GREY_STEP).astype(np.uint8),
        labels_N=labels_N,
        num_train=len(labels_N),
        class_names=tuple(str(label) for label in np.unique(labels_N)),
        columns={},
        name="digits",
    )
