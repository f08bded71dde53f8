import csv
import io

import pyarrow as pa
import pytest

from peerkd.config.prices import Prices
from peerkd.results.cost import Account, run_cost, seconds_of_pairs, to_csv

ACCOUNTS = [
    Account(step="pretrain_peers", seconds=100, num_workers=1, gpus_per_worker=2),
    # This job failed and was repeated, and both count.
    Account(step="distill_pairs", seconds=50, num_workers=2, gpus_per_worker=4),
    Account(step="distill_pairs", seconds=150, num_workers=2, gpus_per_worker=4),
]
TRIALS = {(0, 1): 30.0, (1, 0): 60.0, (0, None): 10.0}


def test_all_gpus_of_a_job_count_from_start_to_end() -> None:
    cost = run_cost(ACCOUNTS, prices=Prices())
    assert cost.steps["pretrain_peers"].gpu_seconds == 100 * 2
    assert cost.steps["distill_pairs"].gpu_seconds == (50 + 150) * 2 * 4
    assert cost.steps["distill_pairs"].worker_seconds == (50 + 150) * 2
    assert cost.total.gpu_seconds == 200 + 1600
    assert list(cost.steps) == ["pretrain_peers", "distill_pairs"]


def test_the_cost_of_a_sweep_is_divided_among_pairs_by_training_time() -> None:
    cost = run_cost(ACCOUNTS, prices=Prices(gpu_hour=3.6), sweep="distill_pairs", trial_seconds=TRIALS)
    assert cost.pairs[1, 0].gpu_seconds == pytest.approx(1600 * 0.6)
    assert cost.pairs[0, None].gpu_seconds == pytest.approx(1600 * 0.1)
    whole = cost.steps["distill_pairs"]
    assert sum(each.gpu_seconds for each in cost.pairs.values()) == pytest.approx(whole.gpu_seconds)
    assert sum(each.money or 0 for each in cost.pairs.values()) == pytest.approx(whole.money)


@pytest.mark.parametrize(
    ("prices", "money"),
    [
        (Prices(), None),
        (Prices(gpu_hour=2.0), 1800 / 3600 * 2.0),
        (Prices(worker_hour=0.36), 500 / 3600 * 0.36),
        (Prices(gpu_hour=2.0, worker_hour=0.36), 1.0 + 0.05),
        (Prices(gpu_hour=0.0), 0.0),
    ],
)
def test_cost_is_hours_times_price_and_unknown_without_prices(prices: Prices, money: float | None) -> None:
    assert run_cost(ACCOUNTS, prices=prices).total.money == (money if money is None else pytest.approx(money))


def test_no_resources_cost_nothing() -> None:
    cost = run_cost([], prices=Prices(gpu_hour=2.0), sweep="distill_pairs", trial_seconds=TRIALS)
    assert (cost.total.gpu_seconds, cost.total.money, cost.steps, cost.pairs) == (0, 0, {}, {})


def test_a_sweep_without_any_trial_has_no_shares() -> None:
    assert run_cost(ACCOUNTS, prices=Prices(), sweep="distill_pairs", trial_seconds={}).pairs == {}


def test_the_seconds_of_pairs_come_from_the_table() -> None:
    columns = {"student": [0, 0, 1, 0], "teacher": [1, 1, 0, None], "seconds": [1.0, 2.0, 4.0, 8.0]}
    assert seconds_of_pairs(pa.table(columns)) == {(0, 1): 3.0, (1, 0): 4.0, (0, None): 8.0}


def test_the_csv_has_a_line_for_the_run_each_step_and_each_pair() -> None:
    cost = run_cost(ACCOUNTS, prices=Prices(gpu_hour=2.0), sweep="distill_pairs", trial_seconds=TRIALS)
    lines = list(csv.DictReader(io.StringIO(to_csv(cost))))
    assert [(line["of"], line["step"], line["student"], line["teacher"]) for line in lines] == [
        ("run", "", "", ""),
        ("step", "pretrain_peers", "", ""),
        ("step", "distill_pairs", "", ""),
        ("pair", "", "0", ""),
        ("pair", "", "0", "1"),
        ("pair", "", "1", "0"),
    ]
    assert lines[0]["gpu_seconds"] == "1800.0"
    assert lines[0]["cost"] == "1.0000"
    assert "1.0" not in to_csv(run_cost(ACCOUNTS, prices=Prices())).splitlines()[1].split(",")[-1]
