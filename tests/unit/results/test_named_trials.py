"""Trials that people name: what is found, and what a message offers if nothing is."""

import pyarrow as pa
import pytest

from peerkd.results.named_trials import find_named, read_setting
from peerkd.results.table import assemble
from tests.tables import control, record

DEFAULTS = {"learning_rate": 0.02, "loss": "kl", "target": "teacher"}


def table(**changes: object) -> pa.Table:
    distilled = [
        record(teacher=teacher, transfer_set=name, temperature=temperature, alpha=alpha, **changes)
        for teacher in (1, 2)
        for name in ("student", "both")
        for temperature in (1.0, 4.0)
        for alpha in (0.3, 0.5)
    ]
    return assemble([*distilled, control(**changes), record(student=1, teacher=0, **changes)])


def find(text: str, trials: pa.Table | None = None) -> dict[str, object]:
    setting = read_setting(text, find_teacher=int)
    return find_named(table() if trials is None else trials, student=0, setting=setting, defaults=DEFAULTS)


def test_a_whole_setting_finds_its_trial() -> None:
    row = find("teacher=2, transfer_set=both,temperature=4,alpha=0.3")
    assert [row[name] for name in ("teacher", "transfer_set", "temperature", "alpha")] == [2, "both", 4.0, 0.3]


def test_a_teacher_is_named_and_messages_name_it_too() -> None:
    peers = ("anna", "bern", "chur")
    setting = read_setting("teacher=chur,transfer_set=both", find_teacher=peers.index)
    assert setting["teacher"] == 2
    with pytest.raises(ValueError, match=r"^setting must fit one trial of student anna, and teacher=chur,transfer_set"):
        find_named(table(), student=0, setting=setting, defaults=DEFAULTS, peers=peers)
    untried = {**setting, "temperature": 3.0, "alpha": 0.3}
    with pytest.raises(ValueError, match=r"^setting must be one that student anna .* the nearest are teacher=chur,"):
        find_named(table(), student=0, setting=untried, defaults=DEFAULTS, peers=peers)
    # A training without a teacher has none to look for.
    assert read_setting("teacher=none", find_teacher=peers.index) == {"teacher": None}


def test_a_part_of_a_setting_suffices_if_one_trial_is_left() -> None:
    assert find("temperature=none")["teacher"] is None
    assert find("alpha=0")["distillation_weight"] == 0


@pytest.mark.parametrize("text", ["transfer_set=student,temperature=3", "transfer_set=student,teacher=3"])
def test_a_training_without_a_teacher_has_neither_the_teacher_nor_the_temperature_that_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=f"^setting must be one that student 0 was trained with, got {text}; the near"):
        find(text)
    assert find("transfer_set=student,temperature=4,teacher=1,alpha=0.5")["teacher"] == 1


def test_a_missing_learning_rate_is_that_of_the_recipe() -> None:
    setting = "teacher=2,transfer_set=both,temperature=4,alpha=0.3"
    assert find(f"{setting},learning_rate=0.02") == find(setting) == find(f"{setting},learning_rate=none")
    with pytest.raises(ValueError, match="must be one that student 0 was trained with"):
        find(f"{setting},learning_rate=0.03")
    assert find(f"{setting},learning_rate=0.03", table(learning_rate=0.03))["learning_rate"] == 0.03


def test_a_missing_loss_or_target_is_that_of_the_recipe_except_in_a_control() -> None:
    setting = "teacher=2,transfer_set=both,temperature=4,alpha=0.3"
    assert find(f"{setting},loss=kl,target=teacher") == find(setting)
    with pytest.raises(ValueError, match="must be one that student 0 was trained with"):
        find(f"{setting},loss=dkd")
    with pytest.raises(ValueError, match="must be one that student 0 was trained with"):
        find("temperature=none,loss=kl")
    trials = assemble([record(loss=loss, target="mean") for loss in ("kl", "dkd")])
    assert find("loss=dkd", trials)["loss"] == "dkd"


def test_several_trials_are_refused_with_what_tells_them_apart() -> None:
    with pytest.raises(ValueError, match="fits 4; add ") as caught:
        find("teacher=2,transfer_set=both")
    assert str(caught.value) == (
        "setting must fit one trial of student 0, and teacher=2,transfer_set=both fits 4; add temperature (1, 4) or "
        "alpha (0.3, 0.5)."
    )


def test_a_setting_that_was_not_tried_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="the nearest are ") as caught:
        find("teacher=2,transfer_set=both,temperature=3.5,alpha=0.3")
    nearest = str(caught.value).partition("the nearest are ")[2]
    assert nearest.startswith("teacher=2,transfer_set=both,temperature=4,alpha=0.3 and ")
    # Values without an order are equally far from each other, so the other values decide.
    with pytest.raises(ValueError, match=r"are teacher=2,transfer_set=student,temperature=4,alpha=0\.3 and "):
        find("teacher=2,transfer_set=public,temperature=4,alpha=0.3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("temperature", "setting must be name=value pairs separated by commas, such as transfer_set="),
        ("", "setting must be name=value pairs"),
        ("temprature=1", r"setting must have names among teacher, .*\(did you mean temperature\?\), got temprature"),
        ("student=1", "setting must have names among "),
        ("alpha=0.5,alpha=0.3", "setting must give alpha once"),
        ("temperature=warm", "setting: temperature must be a number or none, got warm"),
        ("alpha=none", "setting: alpha must be a number, got none"),
    ],
)
def test_a_text_of_another_form_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        read_setting(text, find_teacher=int)
