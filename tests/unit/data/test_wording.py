from peerkd.data.wording import listed


def test_long_lists_are_shortened_to_one_line() -> None:
    assert listed(range(7)) == "0, 1, 2, 3, 4 and 2 more"
    assert listed(["a\nb", "c"], num_named=1, separator="; ") == r"a\nb and 1 more"
    assert listed(range(5)) == "0, 1, 2, 3, 4"
    assert listed(["a" * 200, "b"]) == f"{'a' * 157}..., b"
