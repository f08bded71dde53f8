from dataclasses import replace

from benchmarks.tuning.replay import Replay
from benchmarks.tuning.tuners import build
from peerkd.tuning.space import SettingOnSet


def setting(transfer_set: str, target: str, temperature: float = 1.0) -> SettingOnSet:
    return SettingOnSet(transfer_set, temperature, 0.5, 0.5, None, None, target)


def test_masks_are_used_untuned_on_own_and_public_data_if_these_are_tried(replay: Replay) -> None:
    tried = (
        setting("student", "teacher"),
        setting("student", "masks"),
        setting("student_and_public", "masks", 2.0),
        setting("student_and_public", "masks"),
    )
    for num, wanted in ((4, 3), (3, 1), (1, 0)):
        space = replace(replay.space, settings=tried[:num], default_setting=0)
        tuner = build("masks", space, seed=0, earlier=())
        assert tuner.ask(1) == []
        assert set(tuner.choices().tolist()) == {wanted}
