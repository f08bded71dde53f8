"""The 1,797 handwritten digits that are part of scikit-learn: 8x8 grey pixels, without a test split."""

import numpy as np

from peerkd.data.dataset import RawDataset
from peerkd.errors import DataSourceError

_GREY_STEP = 15  # The levels are 0..16. 16 * 15 = 240 fits into uint8 and keeps them evenly spaced.


def read_digits() -> RawDataset:
    """Read the digits (N = 1797, C = 1, H = W = 8, K = 10).

    Raises:
        DataSourceError: If scikit-learn is not installed.
    """
    # Imported here, because importing scikit-learn takes a second and no other source needs it.
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise DataSourceError(
            "data.source digits needs scikit-learn, which is not installed here; install peerkd[data]."
        ) from error

    digits = load_digits()
    return RawDataset(
        images_NCHW=(digits.images[:, None] * _GREY_STEP).astype(np.uint8),
        labels_N=digits.target.astype(np.int64),
        num_train=len(digits.target),
        class_names=tuple(str(name) for name in digits.target_names),
        columns={},
        name="digits",
    )
