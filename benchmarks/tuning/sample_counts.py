"""The number of samples in an epoch of a trial, and the number of samples that its teacher predicts.

A table of trials has the size of the transfer set of each trial, which usually equals both numbers. If the cross
entropy and the divergence have separate samples, an epoch is longer, and the teacher predicts only the samples of the
divergence. If the target also uses the old self of the student, the samples are predicted twice.

Shape suffixes: Q = ordered pairs, S = settings.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.losses.targets import target_of_label
from peerkd.study.transfer_sets import TRANSFER_SETS, SourceSizes, epoch_size, taught_size
from peerkd.tuning.space import SettingOnSet

BATCH_SIZE: Final = 32
"""The batch size of the preset for digits."""

_SIZE_FEATURES: Final = ("num_student_samples", "num_teacher_samples")


def sample_counts(
    settings: Sequence[SettingOnSet],
    set_sizes_QS: IntArray,
    *,
    feature_names: Sequence[str],
    features_QF: FloatArray,
    batch_size: int,
    path: Path,
) -> tuple[IntArray, IntArray]:
    """Return the number of samples in an epoch and the number of predicted samples of each trial, both of shape (Q, S).

    Args:
        settings: The settings.
        set_sizes_QS: The number of samples in each trial's transfer set.
        feature_names: Names of the features of pairs.
        features_QF: The features, from which the sizes of the parts of a set are taken.
        batch_size: The largest number of samples of one set in a batch.
        path: Path of the table, for messages.

    Raises:
        ValueError: If the parts of a set cannot be told apart, because there are no features with the peers' sizes.
    """
    num_samples_QS, num_taught_QS = set_sizes_QS.copy(), set_sizes_QS.copy()
    for place, setting in enumerate(settings):
        facts = TRANSFER_SETS[setting.transfer_set]
        if facts.is_split:
            if any(name not in feature_names for name in _SIZE_FEATURES):
                raise ValueError(
                    f"{path.parent} must have features.parquet with {' and '.join(_SIZE_FEATURES)}, on which the cost "
                    f"of {setting.transfer_set} depends, got none."
                )
            for pair, sizes in enumerate(_sizes(feature_names, features_QF, set_sizes_QS[:, place], facts.sources)):
                num_samples_QS[pair, place] = epoch_size(setting.transfer_set, sizes, batch_size=batch_size)
                num_taught_QS[pair, place] = taught_size(setting.transfer_set, sizes)
        if setting.target is not None and target_of_label(setting.target).needs_student:
            num_taught_QS[:, place] *= 2
    return num_samples_QS, num_taught_QS


def _sizes(
    feature_names: Sequence[str], features_QF: FloatArray, set_sizes_Q: IntArray, sources: frozenset[str]
) -> list[SourceSizes]:
    """Return the sizes of the sources of one transfer set for each pair.

    The samples that belong to neither of the two peers are counted as public.
    """
    columns = [feature_names.index(name) for name in _SIZE_FEATURES]
    sizes = []
    for (student, teacher), whole in zip(features_QF[:, columns].astype(np.int64).tolist(), set_sizes_Q, strict=True):
        of_peers = student * ("student" in sources) + teacher * ("teacher" in sources)
        sizes.append(SourceSizes(student=student, teacher=teacher, public=int(whole) - of_peers))
    return sizes
