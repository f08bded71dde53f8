from dataclasses import dataclass

import pytest

from peerkd.launch.worker import Worker
from peerkd.stages.shard_claims import HEARTBEAT_SECONDS, STALE_SECONDS, ShardClaims
from peerkd.stages.shards import Shard

SHARDS = [Shard(name=f"{number:04d}", tasks=(number,), num_records=1) for number in range(6)]


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def claims(remote, clock):
    def make(index, num_workers=2, run_id="run", shards=SHARDS):
        worker = Worker(index=index, num_workers=num_workers, run_id=run_id)
        made = ShardClaims(remote.workspace(f"{run_id}-{index}"), shards, worker, clock=clock)
        made.send_heartbeat()
        return made

    return make


def claimed(claims, num=99):
    names = []
    while len(names) < num and (shard := claims.claim()):
        names.append(int(shard.name))
    return names


def test_the_only_worker_returns_all_shards_in_order_and_writes_no_claims(remote):
    claims = ShardClaims(remote.workspace("alone"), SHARDS, Worker())
    assert claimed(claims) == [0, 1, 2, 3, 4, 5]
    assert remote.files == {}


def test_each_worker_begins_with_its_own_shards_and_continues_with_those_of_others(claims):
    first, second = claims(0), claims(1)
    assert [claimed(first, 2), claimed(second, 2)] == [[0, 2], [1, 3]]
    assert claimed(first) == [4, 5]
    assert claimed(second) == []


def test_a_finished_shard_is_not_claimed_again(claims):
    first, second = claims(0), claims(1)
    first.mark_done(first.claim())
    assert not first.is_finished
    assert claimed(second) == [1, 3, 5, 2, 4]
    for shard in SHARDS[1:]:
        second.mark_done(shard)
    first.refresh()
    assert first.is_finished


def test_the_shards_of_a_worker_without_heartbeats_are_free(claims, clock):
    first, second = claims(0), claims(1)
    assert claimed(second, 2) == [1, 3]
    assert claimed(first) == [0, 2, 4, 5]
    clock.now += STALE_SECONDS
    assert claimed(first) == []
    clock.now += 1
    assert claimed(first) == [1, 3]


def test_a_heartbeat_keeps_the_claims_of_a_worker(claims, clock):
    first, second = claims(0), claims(1)
    claimed(second, 2)
    claimed(first)
    for _ in range(10):
        clock.now += HEARTBEAT_SECONDS
        second.send_heartbeat()
        assert claimed(first) == []


def test_the_age_of_a_heartbeat_counts_from_when_its_change_was_seen(claims, clock):
    first, second = claims(0), claims(1)
    claimed(second, 2)
    first.refresh()
    second.send_heartbeat()
    clock.now += 1000
    assert claimed(first) == [0, 2, 4, 5]
    clock.now += STALE_SECONDS + 1
    assert claimed(first) == [1, 3]


def test_a_restarted_worker_claims_its_old_shards_without_delay(claims):
    claimed(claims(1), 3)
    assert claimed(claims(1)) == [1, 3, 5, 0, 2, 4]


def test_claims_of_workers_that_no_longer_exist_are_void(claims):
    claimed(claims(2, num_workers=3), 2)
    assert claimed(claims(0)) == [0, 2, 4, 1, 3, 5]


def test_a_worker_of_another_run_with_the_same_index_is_another_worker(claims, clock):
    claimed(claims(0, run_id="theirs"), 2)
    ours = claims(0)
    assert claimed(ours) == [4, 1, 3, 5]
    clock.now += STALE_SECONDS + 1
    assert claimed(ours) == [0, 2]


@pytest.mark.parametrize("late", [0, 1])
def test_of_two_simultaneous_claims_the_later_one_gives_way_to_a_lower_index(claims, remote, late):
    """One worker claims after the other has read the claims and before it claims. If the higher index is first, both do
    the shard."""
    boards = [claims(0, num_workers=1 + 1), claims(1)]
    slow, fast = boards[late], boards[1 - late]
    for shard in SHARDS[1:]:
        slow.mark_done(shard)
    slow.refresh()
    got = []

    def interfere(name):
        if name.startswith("scratch/claims/"):
            remote.before_save = lambda name: None
            got.append(fast.claim())

    remote.before_save = interfere
    mine = slow.claim()
    assert [shard.name for shard in (*got, mine) if shard] == ["0000"] * (2 if late == 0 else 1)
    assert got[0].name == "0000"


def test_a_worker_that_gave_way_claims_the_shard_when_the_other_is_lost(claims, remote, clock):
    first, second = claims(0), claims(1)
    for shard in SHARDS[1:]:
        first.mark_done(shard)

    def interfere(name):
        if name.startswith("scratch/claims/"):
            remote.before_save = lambda name: None
            assert first.claim()

    second.refresh()
    remote.before_save = interfere
    assert second.claim() is None
    clock.now += STALE_SECONDS + 1
    second.send_heartbeat()
    assert second.claim() == SHARDS[0]


def test_the_rest_counts_as_claimed_only_if_its_workers_were_seen_alive(claims):
    first, second = claims(0), claims(1)
    claimed(second)
    first.refresh()
    assert not first.is_rest_claimed
    second.send_heartbeat()
    first.refresh()
    assert first.is_rest_claimed


def test_shards_that_are_added_later_are_claimed_later(claims):
    first, second = claims(0), claims(1)
    more = [Shard(name=f"more-{number}", tasks=(number,), num_records=1) for number in range(3)]
    for each in (first, second):
        each.add(more)
    names = []
    while shard := second.claim():
        names.append(shard.name)
    assert names == ["0001", "0003", "0005", "0000", "0002", "0004", "more-1", "more-0", "more-2"]
    for shard in SHARDS:
        second.mark_done(shard)
    assert not second.is_finished
    for shard in more:
        second.mark_done(shard)
    assert second.is_finished


SECTIONED = [Shard(name=f"{n:04d}", tasks=(n,), num_records=1, section=f"{n // 3:04d}") for n in range(12)]


def test_workers_begin_in_different_sections_and_then_help_each_other(claims):
    first, second = claims(0, shards=SECTIONED), claims(1, shards=SECTIONED)
    assert [claimed(first, 4), claimed(second, 4)] == [[0, 2, 1, 6], [4, 3, 5, 10]]
    assert claimed(first) == [8, 7, 9, 11]
    assert claimed(second) == []
    assert not first.is_finished


def test_more_workers_than_sections_begin_in_all_sections(claims):
    firsts = [claimed(claims(index, num_workers=7, shards=SECTIONED), 1)[0] for index in range(7)]
    assert [first // 3 for first in firsts] == [0, 1, 2, 3, 0, 1, 2]
    assert len({*firsts}) == 7


def test_a_worker_lists_only_the_section_in_which_it_works(claims, remote, clock):
    first = claims(0, shards=SECTIONED)
    outside = {"scratch/beats/", "scratch/ended/", "scratch/extension"}
    assert claimed(first, 3) == [0, 2, 1]
    assert {*remote.lists} == outside | {"scratch/sections/0000/"}
    # What lies outside of sections is listed again only when it is old.
    assert len(remote.lists) == 3 + 2 * 3
    clock.now += HEARTBEAT_SECONDS
    remote.lists.clear()
    assert claimed(first, 1) == [6]
    assert {*remote.lists} == outside | {"scratch/sections/0000/", "scratch/sections/0002/"}


def test_a_section_that_is_done_is_not_listed_again(claims, remote):
    first = claims(0, shards=SECTIONED)
    for _ in range(3):
        first.mark_done(first.claim())
    assert "scratch/ended/0000" in remote.files
    remote.lists.clear()
    second = claims(1, shards=SECTIONED)
    assert claimed(second) == [4, 3, 5, 10, 9, 11, 7, 6, 8]
    assert "scratch/sections/0000/" not in remote.lists
    assert {"0000", "0001", "0002"} <= second.done


def test_a_section_is_marked_by_whoever_sees_that_all_its_shards_are_done(claims, remote, clock):
    first, second = claims(0, shards=SECTIONED[:3]), claims(1, shards=SECTIONED[:3])
    mine, theirs = [first.claim(), first.claim()], second.claim()
    for each in mine:
        first.mark_done(each)
    second.mark_done(theirs)
    assert "scratch/ended/0000" not in remote.files
    assert first.claim() is None
    assert "scratch/ended/0000" in remote.files
    clock.now += HEARTBEAT_SECONDS
    assert second.claim() is None
    assert first.is_finished
    assert second.is_finished


def test_the_shards_of_a_lost_worker_are_free_in_every_section(claims, clock):
    first, second = claims(0, shards=SECTIONED), claims(1, shards=SECTIONED)
    assert claimed(second, 1) == [4]
    assert claimed(first) == [0, 2, 1, 6, 8, 7, 3, 5, 9, 11, 10]
    clock.now += STALE_SECONDS + 1
    assert claimed(first) == [4]


def test_a_worker_that_began_after_the_last_list_is_alive(claims, clock):
    first = claims(0, shards=SECTIONED[:3])
    assert claimed(first, 1) == [0]
    second = claims(1, shards=SECTIONED[:3])
    assert claimed(second) == [1, 2]
    assert claimed(first) == []
    assert not first.is_rest_claimed


def test_a_shard_of_a_section_that_is_done_can_be_claimed_after_it_was_reopened(claims, remote):
    first = claims(0, shards=SECTIONED[:3])
    for _ in range(3):
        first.mark_done(first.claim())
    first.reopen(SECTIONED[1])
    assert "scratch/ended/0000" not in remote.files
    assert claimed(first) == [1]


def test_the_only_worker_knows_all_sections(remote):
    early = ShardClaims(remote.workspace("early"), SECTIONED, Worker())
    for shard in SECTIONED[2:7]:
        early.mark_done(shard)
    late = ShardClaims(remote.workspace("late"), SECTIONED, Worker())
    late.begin()
    assert claimed(late) == [0, 1, 7, 8, 9, 10, 11]
