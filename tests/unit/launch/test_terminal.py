import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.launch.terminal import Relay

Lines = list[tuple[str, str]]


@pytest.fixture
def out() -> Lines:
    return []


def relay_to(out: Lines, *, num_kept_lines: int = 10) -> Relay:
    return Relay(lambda stage, text: out.append((stage, text)), num_kept_lines=num_kept_lines)


def test_marked_lines_are_passed_on_without_the_mark_and_others_are_kept(out: Lines) -> None:
    relay = relay_to(out)
    relay.write("kfp: starting\npeerkd | partition_data: 3 peers\nWARNING: noise\n")
    assert out == [("partition_data", "3 peers")]
    assert relay.last_lines == ("kfp: starting", "WARNING: noise")


def test_a_mark_inside_a_line_is_noise(out: Lines) -> None:
    relay = relay_to(out)
    relay.write("log: peerkd | partition_data: 3 peers\n")
    assert out == []
    assert relay.last_lines == ("log: peerkd | partition_data: 3 peers",)


def test_only_the_last_unmarked_lines_are_kept_and_no_empty_ones(out: Lines) -> None:
    relay = relay_to(out, num_kept_lines=2)
    relay.write("1\n\n2\n   \n3\n\n")
    assert relay.last_lines == ("2", "3")


@given(cuts=st.lists(st.integers(0, 80)))
def test_a_line_may_arrive_in_pieces(cuts: list[int]) -> None:
    text = "noise\npeerkd | a: 1 of 2\npeerkd | a: 2 of 2\nmore noise\n"
    edges = [0, *sorted(cuts), len(text)]
    out: Lines = []
    relay = relay_to(out)
    for start, end in itertools.pairwise(edges):
        piece = text[start:end]
        assert relay.write(piece) == len(piece)
    assert out == [("a", "1 of 2"), ("a", "2 of 2")]
    assert relay.last_lines == ("noise", "more noise")


def test_a_line_is_passed_on_when_it_ends(out: Lines) -> None:
    relay = relay_to(out)
    relay.write("peerkd | a: 1")
    assert out == []
    relay.write(" of 2\n")
    assert out == [("a", "1 of 2")]


def test_a_relay_can_stand_in_for_standard_output(out: Lines) -> None:
    relay = relay_to(out)
    assert relay.writable()
    assert not relay.isatty()
    print("peerkd | a: 1", file=relay, flush=True)
    assert out == [("a", "1")]
