import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from peerkd.errors import ArtifactCorruptError
from peerkd.results import journal as journal_module
from peerkd.results.journal import CHECKSUM, from_line, open_journal, read_journal, to_line

RECORDS: list[dict[str, Any]] = [
    {"peer": 0, "accuracy": 0.1 + 0.2},
    {"peer": 1, "name": "é\n\r\u2028", "nothing": None},
    {"peer": 2, "classes": [1.0, None]},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.jsonl"
    with open_journal(path) as journal:
        for record in RECORDS:
            journal.append(record)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records of a journal without their checksums."""
    return [{name: value for name, value in each.items() if name != CHECKSUM} for each in read_journal(path)]


def records(path: Path) -> list[dict[str, Any]]:
    with open_journal(path) as journal:
        found = read(path)
        assert journal.num_records == len(found)
    return found


def test_a_new_journal_is_empty(tmp_path: Path) -> None:
    assert records(tmp_path / "journal.jsonl") == []


def test_records_are_read_back_in_order_and_exactly(path: Path) -> None:
    assert records(path) == RECORDS
    assert len(path.read_bytes().splitlines()) == len(RECORDS)


def test_new_records_are_added_to_earlier_ones(path: Path) -> None:
    with open_journal(path) as journal:
        journal.append({"peer": 3})
        assert journal.num_records == len(RECORDS) + 1
    assert records(path) == [*RECORDS, {"peer": 3}]


def test_a_truncated_last_line_is_dropped_and_the_next_record_is_intact(path: Path) -> None:
    content = path.read_bytes()
    ends = [position + 1 for position, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        num_whole = sum(end <= cut for end in ends)
        with open_journal(path) as journal:
            assert journal.num_records == num_whole, f"cut at {cut}"
            assert path.read_bytes() == content[: ends[num_whole - 1] if num_whole else 0], f"cut at {cut}"
            journal.append({"after": cut})
        assert records(path) == [*RECORDS[:num_whole], {"after": cut}], f"cut at {cut}"


@pytest.mark.parametrize("line", [b"", b'{"peer": 1', b"[1]", b"3", b"null", b"\xff", b"{} {}"])
def test_an_invalid_line_in_the_middle_is_refused(path: Path, line: bytes) -> None:
    lines = path.read_bytes().splitlines()
    lines[1] = line
    content = b"\n".join(lines) + b"\n"
    path.write_bytes(content)
    with pytest.raises(ArtifactCorruptError) as caught:
        records(path)
    assert str(caught.value) == f"{path}: line 2 must be a record with its checksum, got {line!r}."
    assert path.read_bytes() == content


def test_a_value_that_json_cannot_represent_is_refused_before_writing(path: Path) -> None:
    with open_journal(path) as journal:
        with pytest.raises(ValueError, match="JSON compliant"):
            journal.append({"loss": float("nan")})
        assert journal.num_records == len(RECORDS)
    assert records(path) == RECORDS


def test_a_record_is_on_disk_when_append_returns(path: Path) -> None:
    with open_journal(path) as journal:
        journal.append({"peer": 3})
        assert json.loads(path.read_bytes().splitlines()[-1])["peer"] == 3


def test_appended_records_survive_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from peerkd.results.journal import open_journal

        with open_journal(Path(sys.argv[1])) as journal:
            for number in range(100):
                journal.append({"number": number})
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert subprocess.run([sys.executable, "-c", script, path], check=False).returncode == -signal.SIGKILL
    assert records(path) == [{"number": number} for number in range(100)]


def test_a_journal_in_use_is_read_up_to_its_last_complete_line(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"peer": 3, "acc')
    before = path.read_bytes()
    assert read(path) == RECORDS
    assert path.read_bytes() == before


def test_a_reader_reports_a_damaged_line(path: Path) -> None:
    path.write_bytes(b"[1]\n" + path.read_bytes())
    with pytest.raises(ArtifactCorruptError, match="line 1 must be a record with its checksum"):
        list(read_journal(path))


def test_reading_stops_at_a_line_that_is_still_being_written(path: Path) -> None:
    first, second = to_line({"peer": 0}), to_line({"peer": 1})
    lines = [first, second[:30], second[30:]]
    assert [each["peer"] for each in journal_module._records(lines, path, None)] == [0]


def test_a_line_with_a_flipped_bit_is_not_a_record(path: Path) -> None:
    line = path.read_bytes().splitlines(keepends=True)[1]
    for position in range(8 * (len(line) - 1)):
        flipped = bytearray(line)
        flipped[position // 8] ^= 1 << position % 8
        assert from_line(bytes(flipped)) is None, f"bit {position}"
    assert from_line(line) is not None


@pytest.mark.parametrize(("before", "after"), [("11.1", "17.1"), ("0.5", "0.25"), ("1, 2", "2, 1"), ("}", ', "b": 1}')])
def test_a_line_that_was_edited_is_not_a_record(before: str, after: str) -> None:
    line = to_line({"a": [11.1, 0.5, 1, 2]}).decode()
    assert before in line
    assert from_line(line.replace(before, after).encode()) is None


def test_damaged_lines_are_omitted_and_reported_on_request(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"nothing", b"something") + b"\0" * 40 + b"\n" + lines[2])
    damaged: list[int] = []
    assert [each["peer"] for each in read_journal(path, on_damaged=damaged.append)] == [0, 2]
    assert damaged == [2, 3]


def test_a_line_without_a_checksum_is_not_a_record() -> None:
    assert from_line(b'{"peer": 0}\n') is None


def test_a_record_that_was_read_can_be_written_again(path: Path) -> None:
    assert b"".join(to_line(record) for record in read_journal(path)) == path.read_bytes()


def test_an_empty_record_has_a_line() -> None:
    record = from_line(to_line({}))
    assert record is not None
    assert record.keys() == {CHECKSUM}
