"""The comparison of methods of rounds: its tables worked out by hand, and a run of its smallest cell."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.rounds.__main__ import main
from benchmarks.rounds.tables import accuracies, differences, own_accuracies, section
from peerkd.reporting.rounds.findings import MethodRounds


def rounds(*means: float, sent: int = 1000, worst: float = -0.1) -> MethodRounds:
    """Return the rounds of two peers whose accuracies differ by twice ``worst`` from each other."""
    accuracy_RP = np.array(means)[:, None] + np.array([worst, -worst])
    num = np.full(accuracy_RP.shape, 100)
    sent_RP = np.full(accuracy_RP.shape, sent)
    sent_RP[0] = 0
    return MethodRounds(
        global_RP=accuracy_RP,
        own_RP=accuracy_RP + 0.05,
        validation_RP=accuracy_RP,
        sent_bytes_RP=sent_RP,
        received_bytes_RP=sent_RP,
        num_samples_RP=num,
        is_proposed_RP=sent_RP > 0,
        is_accepted_RP=np.ones(accuracy_RP.shape, dtype=bool),
    )


CELLS = {
    0: {"predictions": rounds(0.5, 0.4, 0.7), "fedavg": rounds(0.5, 0.1, 0.6, sent=5000)},
    1: {"predictions": rounds(0.3, 0.2, 0.5), "fedavg": rounds(0.3, 0.1, 0.2, sent=5000)},
}


def rows(table: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_the_table_of_accuracies_has_means_over_peers_and_seeds() -> None:
    joint, fedavg = rows(accuracies(CELLS, ["predictions", "fedavg"]))
    # The means of the seeds are 70 and 50: the standard error is 10, and the quantile of t is 12.706.
    assert joint[3] == "60.0 (-67.1 to 187.1)"
    assert [text.split()[0] for text in joint[1:6]] == ["40.0", "30.0", "60.0", "30.0", "50.0"]
    assert joint[6:] == ["2 of 2 seeds", "2.0 KiB", "300"]
    assert fedavg[6] == "1 of 2 seeds"
    (own,) = rows(own_accuracies(CELLS, ["predictions"]))
    assert [text.split()[0] for text in own[1:]] == ["45.0", "35.0", "65.0", "0.0"]


def test_differences_are_paired_by_seed() -> None:
    ((title, mean, worst, own, ratio),) = rows(differences(CELLS, ["predictions", "fedavg"]))
    # -10 and -30 points.
    assert (title, mean) == ("FedAvg", "-20.0 (-147.1 to +107.1)")
    assert worst == own == mean
    assert ratio == "5.00"


def test_one_seed_has_no_interval() -> None:
    text = section("Dirichlet 0.3", {0: CELLS[0]})
    assert "(" not in text
    assert "Dirichlet 0.3" in text


def test_a_cell_is_run_once_and_gives_the_same_tables_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--seeds", "0", "--concentrations", "0.3", "--methods", "predictions", "alone", "--num-rounds", "1"]
    words += ["--workers", "0", "--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "rounds.md")]
    for setting in (
        "partition.num_peers=2",
        "data.max_train_samples=150",
        "data.max_test_samples=60",
        "pretrain.epochs=1",
        "rounds.epochs=1",
        "peers.architectures=[mlp]",
    ):
        words += ["--set", setting]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert printed.out == (tmp_path / "rounds.md").read_text()
    assert "## Dirichlet 0.3" in printed.out
    assert main(words) == 0
    again = capsys.readouterr()
    assert again.out.partition("## ")[2] == printed.out.partition("## ")[2]
    assert again.err.count("already done") == 4
