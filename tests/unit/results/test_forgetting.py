import numpy as np
import pytest

from peerkd.results.forgetting import forgetting
from peerkd.results.selection import candidates, choose
from peerkd.results.table import assemble
from tests.tables import control, record


def test_forgetting_is_the_mean_over_pairs_by_transfer_set_and_role():
    lost = {"test_class_accuracy_before": [0.9, 0.5, None], "test_class_accuracy_after": [0.5, 0.7, None]}
    won = {"test_class_accuracy_before": [0.4, 0.5, None], "test_class_accuracy_after": [0.8, 0.5, None]}
    table = assemble(
        [
            record(test_negative_flips=0.2, **lost),
            record(student=1, teacher=0, **won),
            control(),
            record(transfer_set="public_unlabelled", distillation_weight=1.0, **won),
            record(student=1, teacher=0, transfer_set="public_unlabelled", distillation_weight=1.0, **won),
        ]
    )
    trials = candidates(table, metric="global_accuracy")
    sets = ("student", "public_unlabelled")
    found = forgetting(table, {name: choose(trials, default_transfer_set=name, transfer_sets=(name,)) for name in sets})
    by_role = {(change.transfer_set, change.role): change for change in found.changes}
    assert ("public_unlabelled", "control") not in by_role
    chosen = by_role["student", "chosen"]
    assert chosen.forgetting.value == pytest.approx((0.2 + 0) / 2)
    assert chosen.learning.value == pytest.approx((0.1 + 0.2) / 2)
    assert chosen.negative_flips.value == pytest.approx(0.1)
    assert by_role["student", "control"].forgetting.num == 1
    assert found.transfer_sets == sets
    assert found.class_accuracy_lost[0, :2] == pytest.approx([0.2, 0.0])
    assert np.isnan(found.class_accuracy_lost[:, 2]).all()
