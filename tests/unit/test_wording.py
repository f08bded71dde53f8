import pytest

from peerkd.wording import format_bytes, plural


def test_one_has_the_singular_and_all_else_the_plural() -> None:
    assert [plural(num, "class", "classes") for num in (0, 1, 2)] == ["0 classes", "1 class", "2 classes"]
    assert plural(1_000, "peer") == "1,000 peers"


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(0, "0 bytes"), (1023, "1,023 bytes"), (1536, "1.5 KiB"), (2**50 * 2, "2.0 PiB")]
)
def test_bytes_are_written_in_readable_units(num_bytes: int, text: str) -> None:
    assert format_bytes(num_bytes) == text
