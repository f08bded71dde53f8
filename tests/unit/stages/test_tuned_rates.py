"""Tuned studies that choose learning rates."""

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.launch.worker import Worker
from peerkd.results.table import read_table
from tests.tuned_studies import config, identity, report, with_setting

RATES = "sweep.learning_rates=[0.005,0.1] sweep.temperatures=[4] sweep.alphas=[0.9] sweep.transfer_sets=[student,both]"


@pytest.fixture(scope="module")
def at_rates(tuned):
    return tuned(f"{RATES} distill.epochs=2")


def test_the_learning_rate_is_tuned_too(at_rates):
    # The default has the rate of the recipe.
    assert {row["learning_rate"] for row in at_rates.trials} == {0.005, 0.02, 0.1}
    chosen = {row["learning_rate"] for row in with_setting(at_rates)}
    assert chosen <= {0.005, 0.02, 0.1}
    assert chosen
    assert all(row["learning_rate"] is None for row in at_rates.choices if row["transfer_set"] is None)
    best = {}
    for row in at_rates.trials:
        best.setdefault((row["student"], row["teacher"]), {})[(*identity(row), row["learning_rate"])] = row[
            "validation_global_gain"
        ]
    for row in with_setting(at_rates):
        pair = row["student"], row["teacher"]
        assert best[pair][(*identity(row), row["learning_rate"])] == pytest.approx(row["validation_gain"])


def test_whole_trials_at_several_rates_equal_those_of_the_sweep(at_rates, trained):
    from peerkd.stages import distill_pairs
    from peerkd.stages.work import distill_pairs as sweep

    store, settings = FilesystemStore(trained), config(f"{RATES} distill.epochs=2")
    (folder,) = (path.parent for path in trained.glob("pretrain_peers/*/manifest.json"))
    peers = store.find(f"pretrain_peers/{folder.name}")
    sweep.perform(settings, peers, store, Worker())
    path = store.fetch(distill_pairs.key(settings, peers)) / distill_pairs.TABLE_NAME
    rows = read_table(path).to_pylist()
    controls = [row["learning_rate"] for row in rows if row["distillation_weight"] == 0]
    # Four students have controls on their own data, and twelve pairs have the others.
    assert {rate: controls.count(rate) for rate in controls} == dict.fromkeys((0.005, 0.02, 0.1), 4 + 12)
    assert len(rows) == len(controls) + 12 * 2 * 3
    swept = {(*identity(row), row["learning_rate"]): row for row in rows}
    names = [name for name in at_rates.trials[0] if name != "seconds" and "gain_from" not in name]
    whole = [row for row in at_rates.trials if row["epochs"] == 2]
    assert whole
    for row in whole:
        assert [row[name] for name in names] == [swept[(*identity(row), row["learning_rate"])][name] for name in names]


def test_the_report_of_a_study_names_learning_rates(at_rates):
    settings = config(f"{RATES} distill.epochs=2")
    folder = at_rates.store.fetch(report(settings, at_rates).key)
    (header, *lines) = (folder / "plan.csv").read_text().splitlines()
    place = header.split(",").index("learning_rate")
    assert {line.split(",")[place] for line in lines} <= {"0.005", "0.02", "0.1"}
    assert (", learning rate " in (folder / "summary.txt").read_text()) is bool(lines)
