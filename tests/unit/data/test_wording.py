import os

import pytest

from peerkd.data.wording import listed, printable


def test_long_lists_are_shortened_to_one_line() -> None:
    assert listed(range(7)) == "0, 1, 2, 3, 4 and 2 more"
    assert listed(["a\nb", "c"], num_named=1, separator="; ") == r"a\nb and 1 more"
    assert listed(range(5)) == "0, 1, 2, 3, 4"
    assert listed(["a" * 200, "b"]) == f"{'a' * 157}..., b"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"plain.png", "plain.png"),
        ("größe 猫.png".encode(), "größe 猫.png"),
        (b"caf\xe9.png", r"caf\xe9.png"),
        (b"two\nlines\x1b[31m", r"two\nlines\x1b[31m"),
    ],
)
def test_any_file_name_becomes_one_printable_line(name: bytes, expected: str) -> None:
    assert printable(os.fsdecode(name)) == expected
