import pytest

from peerkd.stages.shards import MAX_SHARDS, has_sections, num_shards_of_sweep, split_into_shards


@pytest.mark.parametrize("num_tasks", [1, 5, 256, 1000])
def test_shards_are_contiguous_nearly_equal_and_never_too_many(num_tasks):
    tasks = list(range(num_tasks))
    shards = split_into_shards(tasks, num_records=lambda part: sum(task + 1 for task in part), max_shards=256)
    assert [task for shard in shards for task in shard.tasks] == tasks
    assert len(shards) == min(256, num_tasks)
    assert max(len(shard.tasks) for shard in shards) - min(len(shard.tasks) for shard in shards) <= 1
    assert sum(shard.num_records for shard in shards) == sum(task + 1 for task in tasks)
    assert [shard.name for shard in shards] == sorted({shard.name for shard in shards})


def test_a_section_has_at_most_256_shards():
    shards = split_into_shards(range(1000), num_records=len, max_shards=600, prefix="more-", in_sections=True)
    nums = [sum(shard.section == f"more-{number:04d}" for shard in shards) for number in range(3)]
    assert nums == [256, 256, 88]
    assert shards[256].folder == "scratch/sections/more-0001/"


def test_only_a_large_sweep_has_sections():
    assert [num_shards_of_sweep(num) for num in (1, 256, 16_000, 64 * 1000, 10**9)] == [1, 256, 256, 1000, MAX_SHARDS]
    assert [has_sections(num) for num in (1, 256, 257)] == [False, False, True]
