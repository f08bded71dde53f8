import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.launch.terminal import Relay

UP_AND_CLEAR = "\x1b[A\x1b[2K"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def test_marked_lines_are_passed_on_without_the_mark_and_others_are_kept(out: io.StringIO) -> None:
    relay = Relay(out, num_kept_lines=10)
    relay.write("kfp: starting\npeerkd | partition_data: 3 peers\nWARNING: noise\n")
    assert out.getvalue() == "partition_data: 3 peers\n"
    assert relay.last_lines == ("kfp: starting", "WARNING: noise")


def test_a_mark_inside_a_line_is_noise(out: io.StringIO) -> None:
    relay = Relay(out, num_kept_lines=10)
    relay.write("log: peerkd | partition_data: 3 peers\n")
    assert out.getvalue() == ""
    assert relay.last_lines == ("log: peerkd | partition_data: 3 peers",)


def test_only_the_last_unmarked_lines_are_kept_and_no_empty_ones(out: io.StringIO) -> None:
    relay = Relay(out, num_kept_lines=2)
    relay.write("1\n\n2\n   \n3\n\n")
    assert relay.last_lines == ("2", "3")


@given(cuts=st.lists(st.integers(0, 80)))
def test_a_line_may_arrive_in_pieces(cuts: list[int]) -> None:
    text = "noise\npeerkd | a: 1 of 2\npeerkd | a: 2 of 2\nmore noise\n"
    edges = [0, *sorted(cuts), len(text)]
    out = io.StringIO()
    relay = Relay(out, num_kept_lines=10)
    for start, end in itertools.pairwise(edges):
        piece = text[start:end]
        assert relay.write(piece) == len(piece)
    assert out.getvalue() == "a: 1 of 2\na: 2 of 2\n"
    assert relay.last_lines == ("noise", "more noise")


def test_a_line_is_passed_on_when_it_ends(out: io.StringIO) -> None:
    relay = Relay(out, num_kept_lines=10)
    relay.write("peerkd | a: 1")
    assert out.getvalue() == ""
    relay.write(" of 2\n")
    assert out.getvalue() == "a: 1 of 2\n"


def test_in_a_terminal_a_line_replaces_the_last_one_of_the_same_stage() -> None:
    out = Terminal()
    relay = Relay(out, num_kept_lines=10)
    relay.write("peerkd | a: 1\npeerkd | a: 2\nnoise\npeerkd | a: 3\npeerkd | b: 1\npeerkd | a: 4\n")
    assert out.getvalue() == f"a: 1\n{UP_AND_CLEAR}a: 2\n{UP_AND_CLEAR}a: 3\nb: 1\na: 4\n"


def test_in_a_file_every_line_stays_and_nothing_is_drawn(out: io.StringIO) -> None:
    relay = Relay(out, num_kept_lines=10)
    relay.write("peerkd | a: 1\npeerkd | a: 2\n")
    assert out.getvalue() == "a: 1\na: 2\n"


def test_a_relay_can_stand_in_for_standard_output(out: io.StringIO) -> None:
    relay = Relay(out, num_kept_lines=10)
    assert relay.writable()
    assert not relay.isatty()
    print("peerkd | a: 1", file=relay, flush=True)
    assert out.getvalue() == "a: 1\n"
