"""Journals and checkpoints of a shard that are damaged, truncated or missing."""

import pytest

from peerkd.errors import ArtifactCorruptError
from tests.unit.stages.counting import TASKS, Counts, do, worker, write_checkpoint


def test_missing_records_raise_an_error(remote):
    with worker(remote) as queue:
        do(queue)
    for name in [name for name in remote.files if name.startswith("scratch/journals/0002/")]:
        del remote.files[name]
    with (
        worker(remote) as queue,
        pytest.raises(
            ArtifactCorruptError, match=r"^The journals of part 0002 of count must have 2 records, got 0: run"
        ),
    ):
        list(queue.records())


def journal_of(remote, shard):
    (name,) = [name for name in remote.files if name.startswith(f"scratch/journals/{shard}/")]
    return name


@pytest.mark.parametrize(
    ("damage", "again"),
    [
        (lambda content: content[:-9], [5]),
        (lambda content: content[: len(content) // 3], [4, 5]),
        (lambda content: content.replace(b'"task": 4', b'"task": 9'), [4]),
        (lambda content: b"\0" * len(content), [4, 5]),
        (lambda content: b"", [4, 5]),
        (None, [4, 5]),
    ],
)
def test_missing_records_of_a_finished_shard_are_computed_again(remote, capsys, damage, again):
    with worker(remote) as queue:
        do(queue, by="early")
    name = journal_of(remote, "0002")
    if damage is None:
        del remote.files[name]
    else:
        remote.files[name] = damage(remote.files[name])
    counts = Counts()
    with worker(remote, counts=counts) as queue:
        tasks = queue.tasks()
        assert next(tasks) is None
        for claimed, number in tasks:
            queue.add_record(claimed, {"task": number, "by": "late"})
        assert {record["task"]: record["by"] for record in queue.records()} == {
            task: "late" if task in again else "early" for task in TASKS
        }
    assert counts.recovered + len(again) == len(TASKS)
    said = capsys.readouterr().out
    assert f"part 0002 was marked as done but lacks {len(again)} records: they are computed again" in said
    with worker(remote) as queue:
        assert list(queue.tasks()) == []


def test_a_damaged_line_is_reported_once_and_its_record_is_computed_again(remote, capsys):
    with worker(remote) as queue:
        do(queue, 3, by="early")
    name = journal_of(remote, "0000")
    remote.files[name] = remote.files[name].replace(b"early", b"later", 1)
    del remote.files["scratch/done/0000"]
    with worker(remote) as queue:
        assert do(queue) == [0, 3, 4, 5, 6, 7]
    told = f"peerkd | count: {name}: line 1 is damaged or missing; the records that are lost are computed again\n"
    assert capsys.readouterr().out.count(told) == 1


@pytest.mark.parametrize("content", [b"", b"weighty", None])
def test_a_record_with_a_damaged_or_missing_file_is_computed_again(remote, tmp_path, content):
    def attempt(*, damages):
        done = []
        with worker(remote, max_shards=8, name="one machine") as queue:
            path = queue.checkpoint("x").parents[1] / "weights"
            for claimed, number in (task for task in queue.tasks() if task):
                done.append(number)
                path.write_bytes(b"weights")
                queue.add_record(claimed, {"task": number}, *(["weights"] if number == 3 else []))
            assert "files" not in list(queue.records())[3]
            kept = path.read_bytes()
        if damages:
            remote.files.pop("weights")
        return done, kept

    assert attempt(damages=content is None) == (TASKS, b"weights")
    real = remote.workspace

    def workspace_with_files(name):
        workspace = real(name)
        if content is not None:
            (workspace.folder / "weights").write_bytes(content)
        return workspace

    remote.workspace = workspace_with_files
    assert attempt(damages=False) == ([3], b"weights")


def test_only_the_first_worker_looks_for_missing_records(remote):
    with worker(remote) as queue:
        do(queue)
    del remote.files[journal_of(remote, "0002")]
    with worker(remote, 1, 2) as second:
        assert list(second.tasks()) == []
    assert "scratch/done/0002" in remote.files


def test_a_shard_is_marked_as_done_when_its_journal_is_durable(remote):
    saved = []
    with worker(remote) as queue:
        tasks = queue.tasks()
        for _ in range(2):
            claimed, number = next(tasks)
            queue.add_record(claimed, {"task": number})
        remote.before_save = saved.append
        assert queue.is_done([claimed.shard])
        assert "scratch/done/0000" not in remote.files
        queue.save()
        assert saved == [journal_of(remote, "0000"), "scratch/done/0000"]


@pytest.mark.parametrize(
    ("live", "saved", "found", "said"),
    [
        ("whole", "older", b"whole", ""),
        ("damaged", "older", b"older", "the checkpoint of 0000 is damaged: its training resumes from an earlier"),
        ("damaged", "damaged", None, "the checkpoint of 0000 is damaged: its training resumes from the beginning"),
        (None, "damaged", None, "the checkpoint of 0000 is damaged: its training resumes from the beginning"),
        (None, "older", b"older", ""),
    ],
)
def test_a_training_resumes_from_its_last_intact_checkpoint(remote, tmp_path, capsys, live, saved, found, said):
    def write(path, kind):
        if kind:
            write_checkpoint(path, kind.encode())
        if kind == "damaged":
            path.write_bytes(path.read_bytes()[:-1])
        return path

    real = remote.workspace

    def workspace_with_checkpoints(name):
        workspace = real(name)
        write(workspace.folder / "scratch/0000.safetensors", live)
        content = write(tmp_path / "saved", saved).read_bytes()
        remote.files["scratch/checkpoints/0000.safetensors"] = content
        return workspace

    remote.workspace = workspace_with_checkpoints
    with worker(remote) as queue:
        next(queue.tasks())
        path = queue.checkpoint("0000")
        assert (path.read_bytes()[-5:] if path.exists() else None) == found
    out = capsys.readouterr().out
    assert said in out if said else "damaged" not in out
