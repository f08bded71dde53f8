import numpy as np
import pytest

from peerkd.data.partition.assignment import Assignment
from peerkd.data.partition.scarcity import find_scarcities, small_training_sets

NAMES = ("cat", "dog", "fox")


# There are 60 samples of each class: the first 60 indices are cats, and so on.
LABELS = np.repeat([0, 1, 2], 60)
CATS, DOGS, FOXES = (list(range(k * 60, k * 60 + 60)) for k in range(3))


def assignment(**parts) -> Assignment:
    validation = CATS[:10] + DOGS[:10] + FOXES[:10]
    test = CATS[10:20] + DOGS[10:20] + FOXES[10:20]
    defaults = {
        "train": (CATS[20:40] + DOGS[20:40] + FOXES[20:40], CATS[40:] + DOGS[40:] + FOXES[40:]),
        "own_validation": (validation, validation),
        "own_test": (test, test),
        "validation": validation,
        "test": test,
        "public": [],
    }
    chosen = {**defaults, **parts}
    return Assignment(
        **{
            name: tuple(np.array(part, np.int64) for part in value)
            if isinstance(value, tuple)
            else np.array(value, np.int64)
            for name, value in chosen.items()
        }
    )


def warnings_of(**parts) -> list[str]:
    return find_scarcities(LABELS, assignment(**parts), class_names=NAMES)


def test_a_division_with_enough_samples_has_no_warning() -> None:
    assert warnings_of() == []


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            {"test": CATS[10:20] + DOGS[10:20]},
            ["1 class without a test sample, so no reported accuracy counts it: fox (60 samples in all)."],
        ),
        (
            {"validation": CATS[:10]},
            [
                "2 classes without a validation sample, so no choice considers them: dog (60 samples in all), "
                "fox (60 samples in all)."
            ],
        ),
        (
            {"train": (CATS[20:40] + DOGS[20:40], CATS[40:] + DOGS[40:])},
            [
                "1 class without a training sample, so no peer learns it: fox (60 samples in all).",
                "2 of 2 peers have no training sample of some class in the test set. Peer 0 lacks the most, 1 of 3: "
                "fox.",
                "Some peers are tested on classes of which they have no training sample: peer 0 on fox, peer 1 on fox.",
            ],
        ),
        (
            {"validation": [0, 60, 120]},
            ["The validation set has 3 samples: each is worth 33 points of accuracy."],
        ),
        (
            {"own_validation": (CATS[:2], CATS[:9])},
            [
                "2 peers with fewer than 10 validation samples of their own, each worth up to "
                "50 points of accuracy: peer 0 has 2, peer 1 has 9."
            ],
        ),
    ],
)
def test_warnings_contain_the_numbers_of_samples(parts, expected) -> None:
    assert warnings_of(**parts) == expected


def test_small_own_sets_name_the_field_that_makes_them_larger_and_peers_their_names() -> None:
    parts = assignment(own_validation=(CATS[:2], CATS[:9]))
    fields = {"validation": "data.validation_fraction"}
    (sentence,) = find_scarcities(LABELS, parts, class_names=NAMES, peer_names=["north", "1"], fields=fields)
    assert sentence.endswith(": north has 2, peer 1 has 9. To hold out more, raise data.validation_fraction.")


def test_a_class_named_by_a_number_is_called_a_class() -> None:
    parts = assignment(test=CATS[10:20] + DOGS[10:20])
    [sentence] = find_scarcities(LABELS, parts, class_names=("3", "5", "7"))
    assert sentence == "1 class without a test sample, so no reported accuracy counts it: class 7 (60 samples in all)."


def test_a_class_that_is_only_in_own_or_public_sets_is_reported() -> None:
    (sentence,) = find_scarcities(
        np.array([*LABELS[:120], 2]),
        assignment(
            train=(CATS[20:40] + DOGS[20:40], CATS[40:] + DOGS[40:]),
            validation=CATS[:10] + DOGS[:10],
            test=CATS[10:20] + DOGS[10:20],
            own_validation=([*CATS[:9], 120], CATS[:10]),
            own_test=(CATS[10:20], CATS[10:20]),
        ),
        class_names=NAMES,
    )[:1]
    assert sentence == "1 class without a training sample, so no peer learns it: fox (1 sample in all)."


def test_peers_with_less_than_a_batch_are_named_smallest_first() -> None:
    sizes = {"pretrain.batch_size": 8, "distill.batch_size": 8, "other": 2}
    assert small_training_sets(np.array([60, 5, 3]), sizes) == [
        "2 peers with fewer training samples than a batch of 8 (pretrain.batch_size, distill.batch_size), so an epoch "
        "is a single step: peer 2 has 3, peer 1 has 5."
    ]
    (named,) = small_training_sets(np.array([60, 5]), {"batch_size": 8}, peer_names=["north", "south"])
    assert named.endswith("so an epoch is a single step: south has 5.")


def test_a_study_without_peers_is_warned_about_its_training_set() -> None:
    assert small_training_sets(np.array([3]), {"training.batch_size": 8}) == [
        "The training set has fewer samples than a batch of 8 (training.batch_size), so an epoch is a single step: 3."
    ]


def test_classes_that_a_network_does_not_know_cause_no_warning() -> None:
    parts = assignment(train=(CATS[20:] + DOGS[20:], FOXES[20:] + CATS[20:] + DOGS[20:]))
    known = np.array([[True, True, False], [True, True, True]])
    told, told_of_known = (
        find_scarcities(LABELS, parts, class_names=NAMES, is_known_PK=each) for each in (None, known)
    )
    assert [each for each in told if each not in told_of_known] == [
        "1 of 2 peers have no training sample of some class in the test set. Peer 0 lacks the most, 1 of 3: fox."
    ]
