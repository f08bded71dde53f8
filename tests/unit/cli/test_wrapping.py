"""How results are fitted to narrow terminals."""

import os
import pty
import subprocess
import sys

import pytest

from peerkd.cli.wrapping import wrapped

ROW = "  Several views only               91.98 +- 0.59  +1.07 +- 2.95   undecided"


@pytest.mark.parametrize("width", [60, 80])
def test_a_line_is_divided_between_words_and_its_rest_is_indented(width: int) -> None:
    lines = list(wrapped(f"a title\n\n{ROW}\n" + "word " * 40, width))
    assert max(map(len, lines)) <= width
    assert lines[:2] == ["a title", ""]
    if width == 80:
        assert lines[2] == ROW
    else:
        assert lines[2] == "  Several views only               91.98 +- 0.59  +1.07 +-"
        assert lines[3] == "      2.95   undecided"
    assert lines[-1].startswith("    word")


def test_a_path_stays_whole() -> None:
    path = f"/a/{'long/' * 20}report.html"
    assert list(wrapped(f"Report: {path}", 60)) == ["Report:", f"    {path}"]


def test_only_a_terminal_has_a_width() -> None:
    script = f"from peerkd.cli.wrapping import say; say({ROW!r})"
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "COLUMNS": "60"}
    piped = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert piped.stdout == f"{ROW}\n"
    reader, writer = pty.openpty()
    subprocess.run(command, check=True, stdout=writer, env=environment)
    os.close(writer)
    assert max(map(len, os.read(reader, 1000).decode().splitlines())) <= 60
