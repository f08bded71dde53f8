"""The measurement of a study of many peers: each step has the size that the plan forecasts."""

from benchmarks.many_peers import measure
from tests.tables import Study


def test_each_step_has_the_size_of_the_plan(tmp_path):
    study = Study(num_peers=3, temperatures=(1.0, 4.0), alphas=(0.5, 0.9), transfer_sets=("both",))
    rows = measure(study, tmp_path, num_peers=8, num_partners=2)
    sizes = {name: size for name, size, *_ in rows}
    assert sizes["plan"] == "16 pairs, 80 trials"
    assert sizes["space of a tuned study"] == "16 pairs, 4 settings"
    assert sizes["table of trials"].startswith("80 rows, ")
    assert sizes["findings"] == "16 pairs"
    assert [*sizes][-2:] == ["page", "pairs.csv"]
