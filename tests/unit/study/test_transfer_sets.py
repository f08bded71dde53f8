from typing import get_args

import pytest

from peerkd.config.sweep import SweepConfig
from peerkd.study.grid import Grid
from peerkd.study.plan import plan
from peerkd.study.transfer_sets import (
    PUBLIC,
    TRANSFER_SETS,
    Source,
    TransferSet,
    TransferSetFacts,
    check_transfer_set,
    in_words,
    names_without_labels,
    set_owners,
    set_size,
    table_position,
)


def test_every_name_has_an_entry_and_the_table_has_their_order() -> None:
    assert tuple(TRANSFER_SETS) == get_args(TransferSet)
    assert sorted(TRANSFER_SETS, key=table_position) == [*TRANSFER_SETS]


def test_every_kind_has_samples_from_known_sources_and_a_meaning_of_its_own() -> None:
    for facts in TRANSFER_SETS.values():
        assert facts.sources
        assert facts.sources <= set(get_args(Source))
    assert len({facts.meaning for facts in TRANSFER_SETS.values()}) == len(TRANSFER_SETS)


@pytest.mark.parametrize(
    ("name", "uses_labels", "owners", "size"),
    [
        ("student", True, (7,), 1),
        ("teacher", True, (3,), 10),
        ("both", True, (3, 7), 11),
        ("public", True, (), 100),
        ("public_unlabelled", False, (), 100),
    ],
)
def test_a_kind_has_the_labels_owners_and_size_that_are_written_down_here(
    name: str, uses_labels: bool, owners: tuple[int, ...], size: int
) -> None:
    assert TRANSFER_SETS[name].uses_labels == uses_labels
    assert set_owners(name, student=7, teacher=3) == owners
    assert set_size(name, num_student=1, num_teacher=10, num_public=100) == size


def test_the_public_set_is_an_owner_if_it_is_joined_with_samples_of_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = TransferSetFacts(sources=frozenset({"teacher", "public"}), meaning="the teacher's and the public set")
    monkeypatch.setitem(TRANSFER_SETS, "teacher", facts)
    assert set_owners("teacher", student=7, teacher=0) == (PUBLIC, 0)
    assert set_size("teacher", num_student=1, num_teacher=10, num_public=100) == 110
    units = plan(Grid(transfer_sets=("teacher",), temperatures=(1.0,), alphas=(0.5,)), range(3))
    assert {unit.owners for unit in units} == {(PUBLIC, 0), (PUBLIC, 1), (PUBLIC, 2)}
    assert sum(unit.teacher is None for unit in units) == 3


def test_the_same_samples_without_labels_have_the_same_owners_and_size() -> None:
    assert set(names_without_labels()) == {name for name, facts in TRANSFER_SETS.items() if not facts.uses_labels}
    assert {"public", "public_unlabelled"} & set(names_without_labels()) == {"public_unlabelled"}
    assert TRANSFER_SETS["public_unlabelled"].sources == TRANSFER_SETS["public"].sources


def test_an_unknown_kind_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(ValueError, match=r"^transfer_set must be one of student, teacher, .*, got all\.$"):
        check_transfer_set("all")


def test_the_help_of_the_config_explains_each_kind() -> None:
    help_text = SweepConfig.model_fields["transfer_sets"].description or ""
    assert in_words() in help_text
    for name, facts in TRANSFER_SETS.items():
        assert f"{name}: {facts.meaning}." in help_text
