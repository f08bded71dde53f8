from peerkd.training.round_parts import RoundPart, parts_of


def test_parts_have_nearly_equal_sizes_and_all_peers_once() -> None:
    assert parts_of(range(5), 2) == [(0, 2, 4), (1, 3)]
    assert parts_of((1, 3, 4), 8) == [(1,), (3,), (4,)]


def test_the_names_of_tasks_differ() -> None:
    tasks = [RoundPart(name, 1, phase, part) for name in ("def_kt", "fedavg") for phase in (0, 1) for part in (0, 1)]
    assert len({each.file_name for each in tasks} | {each.state_name for each in tasks}) == 12


def test_a_record_names_its_task() -> None:
    task = RoundPart("fedavg", 3, 1, 2)
    assert RoundPart.of_record({"method": "fedavg", "round": 3, "phase": 1, "part": 2, "is_last": True}) == task
