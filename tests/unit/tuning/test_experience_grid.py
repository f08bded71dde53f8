"""The grid of an experience keeps combinations of set, loss and target apart, and interpolates within each."""

from dataclasses import replace

import numpy as np

from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.term import distillation_term
from peerkd.tuning.experience_grid import Combination, ExperienceGrid, combination_of
from peerkd.tuning.space import SettingOnSet, Space
from tests.unit.tuning.test_experience import rungs, with_settings
from tests.unit.tuning.test_pair_tuner import network

GRID = ExperienceGrid(
    combinations=(
        Combination("student", "kl", "teacher"),
        Combination("student", "ttm", "masks"),
        Combination("public_unlabelled", "kl", "masks"),
    ),
    weights=np.array([0.1, 0.5, 1.0]),
    temperatures=np.array([1.0, 4.0]),
    epoch_shares=np.array([1 / 3, 2 / 3, 1.0]),
    has_weight_NW=np.array([[True, True, False], [True, True, False], [False, False, True]]),
    has_temperature_NT=np.array([[True, True], [False, True], [True, True]]),
)


def space(*settings: SettingOnSet) -> Space:
    return with_settings(network(seed=1)[0], *settings)


def test_a_setting_is_interpolated_within_its_combination() -> None:
    wanted = SettingOnSet("public_unlabelled", 2.0, 1.0, 1.0, None, "kl", "masks")
    of_whole = GRID.interpolation(space(wanted), rungs(space(wanted)))[0].reshape(GRID.shape)
    assert of_whole[2, 2, :, 2].tolist() == [0.5, 0.5]
    assert of_whole.sum() == 1


def test_what_a_combination_lacks_is_never_used() -> None:
    beyond = SettingOnSet("student", 2.0, 0.6, 0.6, None, "ttm", "masks")
    of_whole = GRID.interpolation(space(beyond), rungs(space(beyond)))[0].reshape(GRID.shape)
    assert of_whole[1, 1, 1, 2] == of_whole.sum() == 1
    assert list(GRID.differences(space(beyond))) == []
    cold = space(beyond._replace(temperature=1.0))
    assert list(GRID.differences(cold)) == ["the temperature 1 is too far from its range, 4 to 4"]


def test_one_loss_and_one_target_are_those_of_the_space() -> None:
    plain = SettingOnSet("student", 1.0, 0.5, 0.5)
    assert combination_of(plain, space(plain)) == Combination("student", "kl", "teacher")
    other = replace(space(plain), term=distillation_term(PAIR_LOSSES["ttm"]), target="masks")
    assert combination_of(plain, other) == GRID.combinations[1]


def test_every_unknown_category_is_named() -> None:
    strange = SettingOnSet("both", 1.0, 0.5, 0.5, None, "dkd", "mean")
    assert list(GRID.differences(space(strange))) == [
        "the transfer set both is unknown to it",
        f"the loss is the {PAIR_LOSSES['dkd'].title}, which is unknown to it",
        "the target mean is unknown to it",
    ]
    known_apart = SettingOnSet("student", 1.0, 0.5, 0.5, None, "kl", "masks")
    assert list(GRID.differences(space(known_apart))) == [
        "the loss kl with the target masks on the transfer set student is unknown to it"
    ]
