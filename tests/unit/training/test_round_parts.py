from peerkd.training.round_parts import PartTask, parts_of


def test_parts_have_nearly_equal_sizes_and_all_peers_once() -> None:
    assert parts_of(range(5), 2) == [(0, 2, 4), (1, 3)]
    assert parts_of((1, 3, 4), 8) == [(1,), (3,), (4,)]


def test_the_names_of_tasks_differ() -> None:
    tasks = [PartTask(name, 1, phase, part, 2) for name in ("def_kt", "fedavg") for phase in (0, 1) for part in (0, 1)]
    assert len({each.file_name for each in tasks} | {each.state_name for each in tasks}) == 12


def test_a_task_of_another_division_has_other_names() -> None:
    two, four = PartTask("fedavg", 1, 0, 1, 2), PartTask("fedavg", 1, 0, 1, 4)
    assert two.name != four.name
    assert two.file_name != four.file_name
    assert two.state_name != four.state_name


def test_a_record_names_its_task() -> None:
    task = PartTask("fedavg", 3, 1, 2, 4)
    record = {"method": "fedavg", "round": 3, "phase": 1, "part": 2, "num_parts": 4, "is_last": True}
    assert PartTask.of_record(record) == task
