import numpy as np
from sklearn.datasets import load_digits

from peerkd.data.sources.digits import read_digits


def test_digits_are_the_ones_of_scikit_learn_in_steps_of_fifteen() -> None:
    raw = read_digits()
    digits = load_digits()
    assert raw.images_NCHW.shape == (1797, 1, 8, 8)
    assert raw.images_NCHW.dtype == np.uint8
    np.testing.assert_array_equal(raw.images_NCHW[:, 0], digits.images * 15)
    np.testing.assert_array_equal(raw.labels_N, digits.target)


def test_digits_have_ten_classes_and_no_test_split() -> None:
    raw = read_digits()
    assert raw.num_train == 1797
    assert raw.class_names == tuple("0123456789")
    assert raw.columns == {}
