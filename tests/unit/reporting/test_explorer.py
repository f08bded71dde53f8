import numpy as np
import pytest

from peerkd.reporting.explorer import importance_of_dimensions, study_data
from peerkd.reporting.findings import compute_findings
from peerkd.reporting.packed import packed, unpacked
from peerkd.results.intervals import mean_over_pairs
from tests.tables import Study


@pytest.fixture(scope="module")
def data(study, findings):
    return study_data(findings, study.facts)


def test_an_array_survives():
    assert unpacked(packed([1, -2, 300], "<i2")).tolist() == [1, -2, 300]


def test_every_gain_can_be_read_back(study, data):
    rows = {name: unpacked(array) for name, array in data["rows"].items()}
    global_gain = (rows["right"].astype(int) - rows["wrong"]) / data["num_test_samples"]
    for read, column in (
        (global_gain, "test_global_gain"),
        (rows["own"], "test_own_gain"),
        (rows["forgetting"], "test_forgetting"),
        (rows["from_teacher"], "test_global_gain_from_teacher"),
    ):
        written = study.table[column].to_numpy()
        np.testing.assert_allclose(read, written, atol=1e-7)


def test_every_role_names_the_rows_of_the_findings(findings, data):
    chosen = unpacked(data["roles"]["chosen"][""]).reshape(findings.choice.chosen.shape)
    np.testing.assert_array_equal(chosen, findings.choice.chosen)
    assert set(data["roles"]["chosen"]) == {"", *findings.transfer_sets}
    assert set(data["roles"]["single"]) == {""}


def test_settings_say_what_was_tried(study, data):
    rows = unpacked(data["rows"]["setting"])
    for row in (0, study.table.num_rows // 2, study.table.num_rows - 1):
        setting = data["settings"][rows[row]]
        written = study.table.slice(row, 1).to_pylist()[0]
        assert setting.transfer_set == written["transfer_set"]
        assert setting.temperature == written["temperature"]
        assert setting.alpha == (None if setting.is_control else written["alpha"])


def test_one_setting_is_the_default(data):
    (index,) = np.flatnonzero(unpacked(data["surface"]["is_default"]))
    setting = data["settings"][index]
    assert (setting.transfer_set, setting.temperature, setting.alpha) == ("student", 1.0, 0.5)


def test_class_changes_are_those_of_the_table(study, findings, data):
    row = study.table.slice(int(findings.choice.chosen[1, 2]), 1).to_pylist()[0]
    expected = np.subtract(row["test_class_accuracy_after"], row["test_class_accuracy_before"])
    num = len(data["peers"])
    changes = unpacked(data["classes"]["chosen"]).reshape(num, num, -1)
    np.testing.assert_allclose(changes[1, 2] / 1e4, expected, atol=6e-5)
    assert (changes[0, 0] == -32768).all()


def test_the_shares_of_dimensions_begin_with_the_largest(findings):
    shares = importance_of_dimensions(findings)
    assert set(shares) == {"student", "teacher", "transfer set", "temperature", "alpha"}
    assert [*shares.values()] == sorted(shares.values(), reverse=True)
    assert sum(shares.values()) < 1


def test_every_setting_has_the_interval_of_its_mean_over_pairs(study, data):
    columns = {
        "global": "global_gain",
        "own": "own_gain",
        "forgetting": "forgetting",
        "teacher": "global_gain_from_teacher",
    }
    index = next(i for i, setting in enumerate(data["settings"]) if setting.transfer_set == "teacher" and setting.alpha)
    setting = data["settings"][index]
    for measure, column in columns.items():
        values_PP = np.full((len(data["peers"]),) * 2, np.nan)
        for row in study.table.to_pylist():
            tried = row["transfer_set"], row["temperature"], row["alpha"]
            if row["distillation_weight"] and tried == (setting.transfer_set, setting.temperature, setting.alpha):
                values_PP[row["student"], row["teacher"]] = row[f"test_{column}"]
        expected = mean_over_pairs(values_PP)
        assert expected.num == 90
        bounds = [unpacked(data["surface"]["measures"][measure][bound])[index] for bound in ("low", "high")]
        np.testing.assert_allclose(bounds, [expected.low, expected.high], atol=1e-7)


def test_controls_and_few_peers_have_no_interval(data):
    is_control = [setting.is_control for setting in data["settings"]]
    np.testing.assert_array_equal(np.isnan(unpacked(data["surface"]["measures"]["own"]["low"])), is_control)
    few = Study(num_peers=3, temperatures=(1.0,), alphas=(0.5,))
    bounds = study_data(compute_findings(few.table, few.facts), few.facts)["surface"]["measures"]
    assert np.isnan(unpacked(bounds["global"]["low"])).all()
