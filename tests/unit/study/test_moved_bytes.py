import pytest

from peerkd.study.moved_bytes import MovedBytes, TeacherSizes, moved_bytes
from peerkd.study.transfer_sets import TRANSFER_SETS

TEACHERS = (TeacherSizes(num_own_samples=100, weights_bytes=5_000), TeacherSizes(num_own_samples=50, weights_bytes=700))


def moved(name: str, *, num_views: int = 1) -> MovedBytes:
    return moved_bytes(
        name,
        TEACHERS,
        num_students=3,
        num_public_samples=20,
        bytes_per_image=64,
        num_classes=10,
        num_views=num_views,
    )


@pytest.mark.parametrize(
    ("name", "images", "weights", "logits"),
    [
        ("student", 0, 5_700, 0),
        ("teacher", 150 * 64, 0, 150 * 40),
        ("both", 150 * 64, 5_700, 0),
        ("public", 0, 0, 40 * 40),
        ("public_unlabelled", 0, 0, 40 * 40),
        ("student_and_public", 0, 0, 40 * 40),
        ("teacher_unlabelled", 150 * 64, 0, 150 * 40),
    ],
)
def test_a_teacher_sends_each_of_its_students_what_the_kind_of_set_needs(
    name: str, images: int, weights: int, logits: int
) -> None:
    assert moved(name) == MovedBytes(images=3 * images, weights=3 * weights, logits=3 * logits)


def test_logits_of_views_that_differ_between_epochs_are_sent_for_each_epoch() -> None:
    assert moved("public", num_views=4).logits == 4 * moved("public").logits
    assert moved("teacher", num_views=4).images == moved("teacher").images


@pytest.mark.parametrize("name", TRANSFER_SETS)
def test_data_stay_at_home_exactly_where_no_image_leaves_a_teacher(name: str) -> None:
    assert TRANSFER_SETS[name].keeps_data_home == (moved(name).images == 0)
    assert {"samples" if noun == "images" else noun for noun, num in moved(name)._asdict().items() if num} == set(
        TRANSFER_SETS[name].moves
    )
