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
from peerkd.results.journal import open_journal, read_journal

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


def records(path: Path) -> list[dict[str, Any]]:
    with open_journal(path) as journal:
        found = list(read_journal(path))
        assert journal.num_records == len(found)
    return found


def test_a_new_journal_is_empty(tmp_path: Path) -> None:
    assert records(tmp_path / "journal.jsonl") == []


def test_records_are_read_back_in_order_and_exactly(path: Path) -> None:
    assert records(path) == RECORDS
    assert len(path.read_bytes().splitlines()) == len(RECORDS)


def test_the_records_of_now_are_there_beside_those_of_before(path: Path) -> None:
    with open_journal(path) as journal:
        journal.append({"peer": 3})
        assert journal.num_records == len(RECORDS) + 1
    assert records(path) == [*RECORDS, {"peer": 3}]


def test_a_last_line_cut_anywhere_is_dropped_and_the_next_record_is_whole(path: Path) -> None:
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
def test_a_line_in_the_middle_that_is_no_record_is_refused(path: Path, line: bytes) -> None:
    lines = path.read_bytes().splitlines()
    lines[1] = line
    content = b"\n".join(lines) + b"\n"
    path.write_bytes(content)
    with pytest.raises(ArtifactCorruptError) as caught:
        records(path)
    assert str(caught.value) == f"{path}: line 2 must be a record, got {line!r}."
    assert path.read_bytes() == content


def test_a_value_that_json_has_not_is_refused_before_anything_is_written(path: Path) -> None:
    with open_journal(path) as journal:
        with pytest.raises(ValueError, match="JSON compliant"):
            journal.append({"loss": float("nan")})
        assert journal.num_records == len(RECORDS)
    assert records(path) == RECORDS


def test_a_record_is_on_disk_when_append_returns(path: Path) -> None:
    with open_journal(path) as journal:
        journal.append({"peer": 3})
        assert json.loads(path.read_bytes().splitlines()[-1]) == {"peer": 3}


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


def test_a_journal_that_is_being_written_is_read_up_to_its_last_whole_line_and_left_as_it_is(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"peer": 3, "acc')
    before = path.read_bytes()
    assert list(read_journal(path)) == RECORDS
    assert path.read_bytes() == before


def test_a_damaged_line_is_told_by_whoever_only_reads(path: Path) -> None:
    path.write_bytes(b"[1]\n" + path.read_bytes())
    with pytest.raises(ArtifactCorruptError, match="line 1 must be a record"):
        list(read_journal(path))


def test_a_line_that_is_finished_while_it_is_read_is_not_taken_for_two(path: Path) -> None:
    lines = [b'{"peer": 0}\n', b'{"pe', b'er": 1}\n']
    assert list(journal_module._records(lines, path)) == [{"peer": 0}]
