import dataclasses
import re

import pytest

from peerkd.launch.kubernetes import names
from peerkd.launch.order import StageOrder


def name_of(order: StageOrder, *, run_id: str) -> str:
    return names.job_name(order, run_id=run_id, max_length=50)


def test_the_name_of_an_order_never_changes(order: StageOrder) -> None:
    assert name_of(order, run_id="run-1") == "peerkd-distill-pairs-ce9b8de8db"


def test_another_run_or_artifact_has_another_job(order: StageOrder) -> None:
    name = name_of(order, run_id="run-1")
    assert name != name_of(order, run_id="run-2")
    assert name != name_of(dataclasses.replace(order, key="x"), run_id="run-1")


def test_parts_of_a_name_do_not_run_into_each_other(order: StageOrder) -> None:
    first, second = (dataclasses.replace(order, key=key) for key in ("bc", "c"))
    assert name_of(first, run_id="a") != name_of(second, run_id="ab")


def test_without_a_run_the_store_and_the_key_tell_runs_apart(order: StageOrder) -> None:
    name = name_of(order, run_id="")
    assert name == name_of(dataclasses.replace(order, config_json="other"), run_id="")
    assert name != name_of(dataclasses.replace(order, store="s3://other"), run_id="")
    assert name == name_of(dataclasses.replace(order, store=f"{order.store}/"), run_id="")


@pytest.mark.parametrize("stage", ["a", "Distill_Pairs", "_x_", "long_" * 30, "a" * 32 + "_b"])
def test_a_name_is_a_dns_label_with_room_for_the_operators_suffix(order: StageOrder, stage: str) -> None:
    name = name_of(dataclasses.replace(order, stage=stage), run_id="r")
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= 50


@pytest.mark.parametrize(("text", "is_kept"), [("run-1", True), ("a" * 64, False), ("", False), ("a b", False)])
def test_a_label_holds_a_valid_value_or_else_its_hash(text: str, is_kept: bool) -> None:
    value = names.label_value(text)
    assert (value == text) == is_kept
    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value)


def test_only_a_job_that_a_launcher_created_belongs_to_peerkd() -> None:
    assert names.is_ours({**names.OUR_LABELS, "x": "y"})
    assert not names.is_ours({**names.OUR_LABELS, names.LABEL_MANAGED_BY: "x"})
    assert not names.is_ours({})
