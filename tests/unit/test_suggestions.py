import pytest

from peerkd.suggestions import check_choice, did_you_mean, near, one_of, similarity

FIELDS = ("learning_rate", "batch_size", "epochs", "num_peers", "temperatures", "architectures", "schedule", "momentum")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("lr", ["learning_rate"]),
        ("bs", ["batch_size"]),
        ("batch", ["batch_size"]),
        ("learningRate", ["learning_rate"]),
        ("batch-size", ["batch_size"]),
        ("num_epochs", ["epochs"]),
        ("peers", ["num_peers"]),
        ("number_of_peers", ["num_peers"]),
        ("tempratures", ["temperatures"]),
        ("temps", ["temperatures"]),
        ("arch", ["architectures"]),
        ("Schedule", ["schedule"]),
        ("colour", []),
        ("", []),
        ("x" * 10**6, []),
    ],
)
def test_a_name_resembles_what_a_person_has_meant(name: str, meant: list[str]) -> None:
    assert near(name, FIELDS) == meant


def test_one_wrong_letter_of_a_short_name_is_forgiven() -> None:
    assert near("pci", ["plain", "pcl", "one"]) == ["pcl"]


def test_names_that_are_written_alike_are_the_most_similar() -> None:
    assert similarity("Batch-Size", "batch_size") == 1 > similarity("batchsiz", "batch_size")


def test_names_are_listed_as_alternatives() -> None:
    assert did_you_mean([]) == ""
    assert did_you_mean(["a"]) == " (did you mean a?)"
    assert did_you_mean(["a", "b", "c"]) == " (did you mean a, b or c?)"
    assert (one_of("ab"), one_of("abc")) == ("a or b", "one of a, b, c")


def test_a_choice_is_checked() -> None:
    check_choice("strategy", "tune", ("sweep", "tune"))
    with pytest.raises(ValueError, match=r"^strategy must be sweep or tune, got tun \(did you mean tune\?\)\.$"):
        check_choice("strategy", "tun", ("sweep", "tune"))
