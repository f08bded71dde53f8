from typing import get_args

import pytest

from peerkd.config.sweep import SweepConfig
from peerkd.study.grid import Grid
from peerkd.study.plan import plan
from peerkd.study.transfer_sets import (
    PUBLIC,
    TRANSFER_SETS,
    Source,
    SourceSizes,
    TransferSet,
    TransferSetFacts,
    check_transfer_set,
    epoch_size,
    in_words,
    set_owners,
    set_size,
    table_position,
    taught_size,
    unlabelled_owners,
)

SIZES = SourceSizes(student=1, teacher=10, public=100)


def test_every_name_has_an_entry_and_the_table_has_their_order() -> None:
    assert tuple(TRANSFER_SETS) == get_args(TransferSet)
    assert sorted(TRANSFER_SETS, key=table_position) == [*TRANSFER_SETS]


def test_every_kind_has_samples_from_known_sources_and_a_meaning_of_its_own() -> None:
    for facts in TRANSFER_SETS.values():
        assert facts.sources
        assert facts.sources <= set(get_args(Source))
    assert len({facts.meaning for facts in TRANSFER_SETS.values()}) == len(TRANSFER_SETS)


@pytest.mark.parametrize(
    ("name", "uses_labels", "owners", "size", "of_divergence"),
    [
        ("student", True, (7,), 1, None),
        ("teacher", True, (3,), 10, None),
        ("both", True, (3, 7), 11, None),
        ("public", True, (), 100, None),
        ("public_unlabelled", False, (), 100, None),
        ("student_and_public", True, (7,), 101, ((PUBLIC,), 100)),
        ("teacher_unlabelled", False, (3,), 10, None),
    ],
)
def test_a_kind_has_the_labels_owners_and_sizes_that_are_written_down_here(
    name: str, uses_labels: bool, owners: tuple[int, ...], size: int, of_divergence: tuple[tuple[int, ...], int] | None
) -> None:
    """``of_divergence`` has the owners and the size of the divergence's samples if cross entropy has others."""
    assert TRANSFER_SETS[name].uses_labels == uses_labels
    assert set_owners(name, student=7, teacher=3) == owners
    assert set_size(name, SIZES) == size
    assert TRANSFER_SETS[name].is_split == (of_divergence is not None)
    assert (unlabelled_owners(name, student=7, teacher=3), taught_size(name, SIZES)) == (of_divergence or ((), size))


def test_the_public_set_is_an_owner_if_it_is_joined_with_samples_of_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = TransferSetFacts(
        labelled_sources=frozenset({"teacher", "public"}), meaning="the teacher's and the public set"
    )
    monkeypatch.setitem(TRANSFER_SETS, "teacher", facts)
    assert set_owners("teacher", student=7, teacher=0) == (PUBLIC, 0)
    assert set_size("teacher", SIZES) == 110
    units = plan(Grid(transfer_sets=("teacher",), temperatures=(1.0,), alphas=(0.5,)), range(3))
    assert {unit.owners for unit in units} == {(PUBLIC, 0), (PUBLIC, 1), (PUBLIC, 2)}
    assert sum(unit.teacher is None for unit in units) == 3


def test_the_same_samples_without_labels_have_the_same_owners_and_size() -> None:
    assert TRANSFER_SETS["public_unlabelled"].sources == TRANSFER_SETS["public"].sources
    assert set_owners("teacher_unlabelled", student=7, teacher=3) == set_owners("teacher", student=7, teacher=3)


@pytest.mark.parametrize(
    ("num_student", "num_public", "num_trained"),
    [
        # Two batches of 25 own samples in each pass; 7 batches of public samples in an epoch.
        (50, 200, 200 + 7 * 25),
        (200, 50, 200 + 7 * 25),
        (200, 200, 400),
        (20, 30, 50),
    ],
)
def test_an_epoch_is_one_pass_over_the_set_with_more_batches(
    num_student: int, num_public: int, num_trained: int
) -> None:
    sizes = SourceSizes(student=num_student, teacher=10_000, public=num_public)
    assert epoch_size("student_and_public", sizes, batch_size=32) == num_trained
    assert epoch_size("both", sizes, batch_size=32) == set_size("both", sizes)


def test_an_unknown_kind_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(ValueError, match=r"^transfer_set must be one of student, teacher, .*, got all\.$"):
        check_transfer_set("all")


def test_the_help_of_the_config_explains_each_kind() -> None:
    help_text = SweepConfig.model_json_schema()["properties"]["transfer_sets"]["description"]
    assert in_words() in help_text
    for name, facts in TRANSFER_SETS.items():
        assert f"{name}: {facts.meaning}." in help_text
