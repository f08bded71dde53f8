from peerkd.data.skipped import SkippedEntries, Tally, describe, from_json, to_json


def test_a_tally_counts_by_kind_and_keeps_the_first_names() -> None:
    tally = Tally(num_examples=2)
    for kind, name in [("hidden files", "b"), ("other files", "x.txt"), ("hidden files", "a"), ("hidden files", "c")]:
        tally.add(kind, name)
    assert tally.skipped() == (
        SkippedEntries("hidden files", 3, ("b", "a")),
        SkippedEntries("other files", 1, ("x.txt",)),
    )


def test_a_phrase_has_each_kind_its_count_and_the_number_of_unnamed_entries() -> None:
    names = tuple(f"{index}.png" for index in range(12))
    assert describe([SkippedEntries("hidden files", 1, ("._a",)), SkippedEntries("images", 1_012, names)]) == (
        "hidden files: 1 (._a); images: 1,012 (0.png, 1.png, 2.png, 3.png, 4.png, 5.png, 6.png, 7.png, 8.png, 9.png "
        "and 1,002 more)"
    )


def test_counts_survive_json() -> None:
    skipped = (SkippedEntries("hidden files", 3, ("b", "a")),)
    assert from_json(to_json(skipped)) == skipped
