import pytest

from peerkd.results.comparison import compare_methods
from peerkd.results.curves import assemble, curves_by_key, diverged_runs
from tests.curves import accuracies, record


def compared(rows, methods, *, architectures=("small_cnn",), baseline="plain"):
    curves = curves_by_key(assemble(rows))
    return compare_methods(curves, architectures=architectures, methods=methods, num_branches=3, baseline=baseline)


def by_seed(*values):
    return dict(enumerate(values))


def pcl(branch, mean_branch, mean_head, **changes):
    return [
        *accuracies(by_seed(*branch), method="pcl", quantity="accuracy/branch_1", **changes),
        *accuracies(by_seed(*mean_branch), method="pcl", quantity="accuracy/mean_branch_1", **changes),
        *accuracies(by_seed(*mean_head), method="pcl", quantity="accuracy/mean_head", **changes),
    ]


def test_deployed_network_ensemble_and_branch_are_distinguished():
    rows = [*accuracies(by_seed(0.5, 0.7)), *pcl((0.6, 0.7), (0.7, 0.9), (0.8, 0.9))]
    found = compared(rows, ("plain", "pcl"))
    means = {role: found.spread("small_cnn", "pcl", role).mean for role in ("deployed", "branch", "ensemble")}
    assert means == pytest.approx({"deployed": 0.8, "branch": 0.65, "ensemble": 0.85})
    assert found.over_baseline("small_cnn", "pcl").value == pytest.approx(0.2)
    assert found.over_baseline("small_cnn", "pcl", role="branch").value == pytest.approx(0.05)
    within = found.difference("small_cnn", "pcl", "pcl", role="mean_branch", second_role="branch")
    assert within.value == pytest.approx(0.15)
    assert found.num_differences == 1


def test_missing_predictors_of_a_method_are_none():
    found = compared(accuracies(by_seed(0.5)), ("plain",))
    assert found.spread("small_cnn", "plain", "ensemble") is None
    assert found.spread("small_cnn", "plain", "mean_branch") is None
    assert found.over_baseline("small_cnn", "plain") is None
    assert found.num_differences == 0


def test_the_leader_is_the_last_branch():
    rows = accuracies(by_seed(0.5), method="okddip")
    rows += accuracies(by_seed(0.9), method="okddip", quantity="accuracy/branch_3")
    rows += accuracies(by_seed(0.8), method="okddip", quantity="accuracy/average")
    found = compared(rows, ("okddip",), baseline="okddip")
    assert found.scores["small_cnn", "okddip", "deployed"].predictor == "branch_3"
    assert found.spread("small_cnn", "okddip", "deployed").mean == 0.9
    assert found.spread("small_cnn", "okddip", "branch").mean == 0.5


def test_the_result_is_that_of_the_last_epoch_and_the_best_epoch_is_separate():
    validation, test = (0.2, 0.8, 0.8, 0.4), (0.99, 0.5, 0.7, 0.6)
    rows = [
        record(epoch=epoch, split=split, value=values[epoch - 1])
        for split, values in (("validation", validation), ("test", test))
        for epoch in (1, 2, 3, 4)
    ]
    found = compared(rows, ("plain",))
    assert found.last_epoch == 4
    assert found.spread("small_cnn", "plain", "deployed").mean == 0.6
    # The first of equal epochs counts, although test accuracy is higher at epochs 1 and 3.
    assert found.best_epochs["small_cnn", "plain"] == {0: 2}
    assert found.spread("small_cnn", "plain", "best_epoch").mean == 0.5


def test_the_best_epoch_does_not_change_with_test():
    def best(test):
        rows = [record(epoch=epoch, split="validation", value=0.1 * (epoch == 2)) for epoch in (1, 2, 3)]
        rows += [record(epoch=epoch, value=test[epoch - 1]) for epoch in (1, 2, 3)]
        return compared(rows, ("plain",)).best_epochs

    assert best((0.0, 0.0, 1.0)) == best((1.0, 0.0, 0.0)) == {("small_cnn", "plain"): {0: 2}}


def test_architectures_are_compared_separately():
    rows = [*accuracies(by_seed(0.5)), *accuracies(by_seed(0.8), architecture="mlp")]
    found = compared(rows, ("plain",), architectures=("small_cnn", "mlp"))
    assert [found.spread(name, "plain", "deployed").mean for name in found.architectures] == [0.5, 0.8]


def test_a_missing_seed_shrinks_the_pairs_and_is_counted():
    rows = [*accuracies({0: 0.5, 1: 0.6, 2: 0.7}), *accuracies({0: 0.6, 2: 0.9}, method="multi_view")]
    found = compared(rows, ("plain", "multi_view"))
    assert found.spread("small_cnn", "multi_view", "deployed").num == 2
    difference = found.over_baseline("small_cnn", "multi_view")
    assert (difference.value, difference.num) == (pytest.approx(0.15), 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "must have a run, got none of plain with small_cnn"),
        ([record()], "branch_1 of plain with small_cnn, seed 0, must have accuracies on validation"),
        ([record(split="validation")], "must have accuracies on test, got none"),
        ([*accuracies({0: 0.5}), *accuracies({1: 0.5}, epoch=2)], "must have a test accuracy after epoch 2, got none"),
        ([record(split="validation", value=None), record()], "must have a validation accuracy, got none"),
    ],
)
def test_incomplete_runs_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        compared(rows, ("plain",))


def test_diverged_runs_are_counted_and_not_compared():
    rows = [*accuracies(by_seed(0.5, 0.7, 0.6)), *accuracies(by_seed(0.9, 0.8, 0.1), method="ema")]
    lost = {("small_cnn", "plain", 1), ("small_cnn", "ema", 2)}
    rows += accuracies(by_seed(0.9, 0.8, 0.1), method="ema", quantity="accuracy/mean_branch_1")
    for row in rows:
        row["is_finite"] = (row["architecture"], row["method"], row["seed"]) not in lost
    table = assemble(rows)
    assert diverged_runs(table) == lost
    found = compare_methods(
        curves_by_key(table),
        architectures=("small_cnn",),
        methods=("plain", "ema"),
        num_branches=3,
        baseline="plain",
        diverged=diverged_runs(table),
    )
    assert dict(found.num_diverged) == {("small_cnn", "plain"): 1, ("small_cnn", "ema"): 1}
    assert found.spread("small_cnn", "plain", "deployed").mean == pytest.approx(0.55)
    difference = found.over_baseline("small_cnn", "ema")
    assert (difference.num, difference.value) == (1, pytest.approx(0.4))


def test_an_epoch_in_which_a_network_was_not_finite_is_not_the_best():
    values = {"validation": (0.2, 0.9, None, 0.4), "test": (0.3, None, 0.8, 0.6)}
    rows = [
        record(epoch=epoch, split=split, value=values[split][epoch - 1]) for split in values for epoch in (1, 2, 3, 4)
    ]
    found = compared(rows, ("plain",))
    assert found.best_epochs["small_cnn", "plain"] == {0: 4}
    assert found.spread("small_cnn", "plain", "deployed").mean == 0.6
