"""The space of a tuned study: the sweep's grid for every ordered pair, in the order of the table of trials."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from peerkd.config.experiment import ExperimentConfig
from peerkd.study.grid import control_settings, settings
from peerkd.study.ties import CHANGE_COLUMNS, ranks
from peerkd.study.transfer_sets import TRANSFER_SETS, SourceSizes, epoch_size, taught_size
from peerkd.study.trials import Setting, Trial, setting_order
from peerkd.tuning.space import ControlOnSet, SettingOnSet, Space

_IDENTITY_COLUMNS: Final = ("student", "teacher")


def build_space(
    config: ExperimentConfig,
    *,
    num_train: Sequence[int],
    num_public: int,
    features: pa.Table | None,
    peers: Sequence[int] | None = None,
) -> Space:
    """Return the pairs and settings that a study can try.

    Args:
        config: The config of the experiment.
        num_train: The number of training samples of each peer.
        num_public: The number of samples in the public set.
        features: The features of every pair, ordered by student and then by teacher. None means no features.
        peers: The peers that take part, in ascending order. None means all peers.
    """
    grid = sorted(
        (
            SettingOnSet(
                transfer_set,
                setting.temperature,
                setting.alpha,
                setting.distillation_weight,
                setting.learning_rate,
                setting.loss,
                setting.target,
            )
            for transfer_set in config.sweep.tried_transfer_sets
            for setting in settings(config.grid, transfer_set)
            if setting.temperature is not None
        ),
        key=lambda each: setting_order(*each),
    )
    columns = {name: [getattr(setting, name) for setting in grid] for name in CHANGE_COLUMNS}
    ranks_S = ranks(columns, default=config.untuned_default)
    students_Q, teachers_Q = config.pairs(range(len(num_train)) if peers is None else peers).as_arrays()
    # Many pairs have sets of the same sizes.
    sizes_U2, size_Q = np.unique(
        np.array(num_train)[np.stack([students_Q, teachers_Q], axis=1)], axis=0, return_inverse=True
    )
    sizes_U = [SourceSizes(student=own, teacher=other, public=num_public) for own, other in sizes_U2.tolist()]
    size_Q = size_Q.ravel()
    # If the student's old self has a part in the target, it predicts the samples of the divergence, too. It is counted
    # wherever the teacher is.
    num_predicting_S = np.array(
        [1 + config.distill.target_labelled(setting.target).pair_target.needs_student for setting in grid]
    )
    names = () if features is None else tuple(name for name in features.column_names if name not in _IDENTITY_COLUMNS)
    return Space(
        students_Q=students_Q,
        teachers_Q=teachers_Q,
        settings=tuple(grid),
        controls=tuple(
            ControlOnSet(transfer_set, control)
            for transfer_set in config.sweep.tried_transfer_sets
            if TRANSFER_SETS[transfer_set].uses_labels
            for control in control_settings(config.grid)
        ),
        default_setting=int(np.flatnonzero(ranks_S == 0)[0]),
        num_samples_QS=np.array(
            [
                [epoch_size(each.transfer_set, sizes, batch_size=config.distill.batch_size) for each in grid]
                for sizes in sizes_U
            ],
            dtype=np.int64,
        )[size_Q],
        num_taught_samples_QS=num_predicting_S
        * np.array([[taught_size(each.transfer_set, sizes) for each in grid] for sizes in sizes_U], dtype=np.int64)[
            size_Q
        ],
        num_epochs=config.distill.epochs,
        feature_names=names,
        features_QF=np.empty((len(students_Q), 0))
        if features is None
        else np.stack([features[name].to_numpy() for name in names], axis=1),
        has_global_gains=config.objective.is_global,
        term=config.distill.term,
        target=config.distill.target.label,
        teacher_mode=config.distill.conventions.teacher_mode,
    )


def trial_of(space: Space, *, pair: int, setting: int) -> Trial:
    """Return the trial of a pair under a setting, which may be a control."""
    control = space.control(setting)
    if control is not None:
        student, teacher = int(space.students_Q[pair]), int(space.teachers_Q[pair])
        owner = teacher if TRANSFER_SETS[control.transfer_set].depends_on_teacher else None
        return Trial(student, owner, control.transfer_set, control.setting)
    chosen = space.settings[setting]
    return Trial(
        int(space.students_Q[pair]),
        int(space.teachers_Q[pair]),
        chosen.transfer_set,
        Setting(*chosen[1:]),
    )
