"""The cost of a trial follows from the sizes of the parts of its transfer set."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.tuning.sample_counts import sample_counts
from peerkd.tuning.space import SettingOnSet

SETTINGS = [
    SettingOnSet("student", 1.0, 0.5, 0.5, None, None, "teacher"),
    SettingOnSet("student", 1.0, 0.5, 0.5, None, None, "masks"),
    SettingOnSet("student_and_public", 1.0, 0.5, 0.5, None, None, "teacher"),
]
SIZES = {"feature_names": ("agreement", "num_student_samples", "num_teacher_samples"), "path": Path("a/b")}


def test_sets_of_two_parts_have_longer_epochs_and_fewer_predictions() -> None:
    features_QF = np.array([[0.5, 80.0, 100.0]])
    num_samples, num_taught = sample_counts(
        SETTINGS, np.array([[80, 80, 280]]), features_QF=features_QF, batch_size=32, **SIZES
    )
    # 200 public samples are 7 batches. Each also has a third of the 80 own samples, which are 3 batches.
    assert num_samples.tolist() == [[80, 80, round(7 * (80 / 3 + 200 / 7))]]
    # The old self of the student also predicts where the target needs it.
    assert num_taught.tolist() == [[80, 160, 200]]


def test_sets_of_two_parts_need_the_sizes_of_the_peers() -> None:
    with pytest.raises(ValueError, match=r"a must have features\.parquet with num_student_samples and num_teacher_"):
        sample_counts(
            SETTINGS,
            np.array([[1, 1, 2]]),
            features_QF=np.empty((1, 0)),
            batch_size=1,
            feature_names=(),
            path=Path("a/b"),
        )
