from typing import Any

import pytest

from peerkd.results.rounds import ROUNDS_SCHEMA, assemble, fingerprint, read_rounds, write_rounds


def row(method: str, round: int, peer: int, **values: Any) -> dict[str, Any]:
    accuracies = {name: 0.1 * (round + 1) for name in ROUNDS_SCHEMA.names if name.endswith("_accuracy")}
    numbers = {name: 5 * round for name in ROUNDS_SCHEMA.names if name.endswith(("_bytes", "_samples"))}
    identity = {"method": method, "round": round, "peer": peer}
    return {**identity, **accuracies, **numbers, "is_accepted": True, **values}


ROWS = [row(method, round, peer) for method in ("fedavg", "alone") for round in (0, 1) for peer in (0, 1)]


def test_the_table_does_not_depend_on_the_order_of_the_rows(tmp_path) -> None:
    table = assemble(ROWS, methods=("alone", "fedavg"))
    assert assemble(reversed(ROWS), methods=("alone", "fedavg")).equals(table)
    assert table["method"].to_pylist() == ["alone"] * 4 + ["fedavg"] * 4
    assert table["round"].to_pylist() == [0, 0, 1, 1] * 2
    write_rounds(table, tmp_path / "rounds.parquet")
    again = read_rounds(tmp_path / "rounds.parquet")
    assert again.equals(table)
    assert fingerprint(again) == fingerprint(table)


def test_another_number_changes_the_fingerprint() -> None:
    other = [*ROWS[:-1], row("alone", 1, 1, is_accepted=False)]
    tables = [assemble(rows, methods=("alone", "fedavg")) for rows in (ROWS, other)]
    assert fingerprint(tables[0]) != fingerprint(tables[1])


def test_a_row_twice_and_other_columns_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^Each row must appear once, got two of method alone, round 1, peer 1\.$"):
        assemble([*ROWS, ROWS[-1]], methods=("alone", "fedavg"))
    with pytest.raises(ValueError, match=r"^A row must have the columns of .*, got a difference in extra\.$"):
        assemble([row("alone", 0, 0, extra=1)], methods=("alone",))
